//! The API handles of a kind, by its scope.

use kube::{
    Api, Client, Resource,
    core::{ClusterResourceScope, NamespaceResourceScope},
};

/// An API handle, and the namespace that it is limited to.
pub type ScopedApi<K> = (Option<String>, Api<K>);

/// The scope of a kind. Some kinds have namespaces, and others have none.
pub trait ApiScope: Sized {
    /// One handle over the whole cluster; of a kind with namespaces, one for each of `namespaces`, if there are any.
    fn apis<K>(client: &Client, namespaces: &[String]) -> Vec<ScopedApi<K>>
    where
        K: Resource<DynamicType = (), Scope = Self>;
}

/// The handles of a kind, whatever its scope.
pub fn apis<K>(client: &Client, namespaces: &[String]) -> Vec<ScopedApi<K>>
where
    K: Resource<DynamicType = (), Scope: ApiScope>,
{
    K::Scope::apis(client, namespaces)
}

impl ApiScope for ClusterResourceScope {
    fn apis<K>(client: &Client, _: &[String]) -> Vec<ScopedApi<K>>
    where
        K: Resource<DynamicType = (), Scope = Self>,
    {
        vec![(None, Api::all(client.clone()))]
    }
}

impl ApiScope for NamespaceResourceScope {
    fn apis<K>(client: &Client, namespaces: &[String]) -> Vec<ScopedApi<K>>
    where
        K: Resource<DynamicType = (), Scope = Self>,
    {
        if namespaces.is_empty() {
            return vec![(None, Api::all(client.clone()))];
        }
        let each = namespaces.iter();
        each.map(|namespace| {
            let api = Api::namespaced(client.clone(), namespace);
            (Some(namespace.clone()), api)
        })
        .collect()
    }
}
