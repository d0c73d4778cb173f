//! The YAML files beside the crate are what the types say. `make crds` writes them anew: it runs this
//! very test with UPDATE=1.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

const HEAD: &str = "# Made from crds/src by `make crds`; an edit here is lost.\n";

#[test]
fn the_yaml_files_are_what_the_types_say() {
    let update = std::env::var_os("UPDATE").is_some();
    for (name, crd) in crds::definition::all() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
        let text = format!("{HEAD}{}", serde_saphyr::to_string(&crd).unwrap());
        if update {
            fs::write(&path, &text).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "crds/{name} is stale: run `make crds` and commit what it writes"
        );
        let back: CustomResourceDefinition = serde_saphyr::from_str(&there).unwrap();
        assert!(back == crd, "crds/{name} read back is another definition");
    }
}
