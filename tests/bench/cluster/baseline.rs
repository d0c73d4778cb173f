//! The same links by raw socket, into the same pods: what the kernel alone takes.

use std::time::Instant;

use anyhow::{Result, anyhow};

use super::{links::Listener, spans::Spans};
use crate::{
    floor::{Floor, HUB, Wish},
    node::{self, Pod},
};

pub struct Baseline {
    floor: Floor,
    listener: Listener,
    bridge: u32,
}

impl Baseline {
    pub fn new() -> Result<Self> {
        let mut floor = Floor::new()?;
        let bridge = floor.bridge("hand")?;
        let listener = Listener::at(HUB)?;
        Ok(Self {
            floor,
            listener,
            bridge,
        })
    }

    /// One link to each; when each was up, as it is heard of the daemon's too.
    pub fn add(&mut self, pods: &[Pod]) -> Result<(Spans, Vec<u32>)> {
        let Self {
            floor,
            listener,
            bridge,
        } = self;
        let (bridge, start) = (*bridge, Instant::now());
        std::thread::scope(|scope| {
            let make = || {
                node::within(HUB, || {
                    pods.iter()
                        .map(|pod| floor.make(&wish(pod, bridge)))
                        .collect::<Result<Vec<_>>>()
                })
            };
            let maker = scope.spawn(make);
            let spans = listener.until_up("hand0", pods.len(), start)?;
            let hosts = maker
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the baseline panicked")))?;
            Ok((spans, hosts))
        })
    }

    pub fn remove(&mut self, hosts: &[u32]) -> Result<()> {
        node::within(HUB, || self.floor.delete_all(hosts))?;
        self.listener.until_gone(Instant::now())?;
        Ok(())
    }
}

fn wish(pod: &Pod, bridge: u32) -> Wish<'_> {
    Wish {
        pod,
        name: "hand0",
        address: None,
        bridge,
        mtu: 1500,
        untagged: false,
    }
}
