//! A vlan or vxlan device in the pod: exclusive on a device of the node, or on another link of the pod.

use std::os::fd::{AsFd, AsRawFd};

use super::{INDEX_TRIES, Made, Refused, no_parent, segment::in_use};
use crate::{
    Machine,
    links::{
        Device, PresentDevice, Want, WantDevice,
        device::{self, Data, Site},
        edit::{Edit, device_mac},
        requests::{device_mark, pod_side_requests, settings},
    },
    netlink::{Error, Request, first_error},
    sandbox::Sandbox,
};

impl Machine {
    pub(super) fn create_device(
        &mut self,
        sandbox: &mut Sandbox,
        (want, device): (&Want, &Device),
        pod_index: u32,
    ) -> Result<Made, Error> {
        let Some(wanted) = &want.device else {
            return Err(no_parent(&want.link.name));
        };
        self.admit_exclusive(device, wanted)?;
        let mac = mac_of(want, device);
        let mut index = pod_index;
        for attempt in 0.. {
            match self.send_device(sandbox, want, (device, wanted), mac, index) {
                Ok(()) => break,
                Err(refused) if refused.is_index() && attempt < INDEX_TRIES => index += 1,
                Err(Refused::Create(error) | Refused::Follow(error)) => {
                    return Err(in_use(error));
                }
            }
        }
        if let Err(error) = Self::finish_device(sandbox, want, index).map_err(in_use) {
            // The first error is reported; the next pass removes what this one leaves behind.
            let _ = sandbox.apply(&[], &[device::delete(&want.link.name, index)]);
            return Err(error);
        }
        Ok(Made {
            host: None,
            pod: index,
            bridge: None,
            mac: mac.unwrap_or_else(|| self.mac_of_parent(device, wanted)),
        })
    }

    fn admit_exclusive(&mut self, device: &Device, want: &WantDevice) -> Result<(), Error> {
        match device {
            Device::Exclusive(segment) => self.admit(&segment.data, want),
            Device::Inside { .. } => Ok(()),
        }
    }

    /// A device on a parent of the node is created through the node's namespace, directly in the pod.
    fn send_device(
        &mut self,
        sandbox: &mut Sandbox,
        want: &Want,
        (device, wanted): (&Device, &WantDevice),
        mac: Option<[u8; 6]>,
        index: u32,
    ) -> Result<(), Refused> {
        let mut site = Site {
            name: &want.link.name,
            index,
            parent: wanted.parent,
            netns: None,
            mtu: want.mtu,
            mac,
            bridge: None,
            grouped: true,
        };
        let sent = match device {
            Device::Exclusive(segment) => {
                site.netns = Some(sandbox.netns.as_fd().as_raw_fd());
                let create = device::create(&segment.data, &site);
                self.node.socket.change(create)
            }
            Device::Inside { data, .. } => {
                let create = device::create(data, &site);
                sandbox.apply(&[], &[create]).and_then(first_error)
            }
        };
        sent.map_err(Refused::Create)
    }

    /// The mark comes last: it means that the device is complete.
    fn finish_device(sandbox: &mut Sandbox, want: &Want, index: u32) -> Result<(), Error> {
        let mut requests = pod_side_requests(want, index);
        requests.push(device_mark(index, want));
        let settings = settings(&want.link.name, &want.link);
        first_error(sandbox.apply(&settings, &requests)?)
    }

    fn mac_of_parent(&self, device: &Device, want: &WantDevice) -> [u8; 6] {
        let parent = match device {
            Device::Exclusive(_) => self.node.links.get(&want.parent),
            Device::Inside { .. } => None,
        };
        parent.and_then(|info| info.mac).unwrap_or_default()
    }

    /// Changes an existing device in place.
    pub fn change_device(
        &mut self,
        sandbox: &mut Sandbox,
        present: &PresentDevice,
        (want, device): (&Want, &Device),
        edits: &[Edit],
    ) -> Result<Made, Error> {
        if let Some(wanted) = &want.device {
            self.admit_exclusive(device, wanted)?;
        }
        let index = present.pod.index;
        Self::change_in_pod(sandbox, &present.pod, want, edits)?;
        if edits.iter().any(|edit| matches!(edit, Edit::AddPeer(_))) {
            sandbox.forget_learned(index, &want.link.name)?;
        }
        if edits.contains(&Edit::Mark) {
            first_error(sandbox.apply(&[], &[device_mark(index, want)])?)?;
        }
        Ok(Made {
            host: None,
            pod: index,
            bridge: None,
            mac: device_mac(present, want),
        })
    }

    /// Removes devices from a pod; missing ones count as removed.
    pub fn remove_devices(sandbox: &mut Sandbox, devices: &[(u32, String)]) -> Result<(), Error> {
        let requests: Vec<Request> = devices
            .iter()
            .map(|(index, name)| device::delete(name, *index))
            .collect();
        first_error(sandbox.apply(&[], &requests)?)
    }

    /// Removes devices that a pod has moved to other namespaces, by the pod's nsids of these.
    pub fn remove_hidden(sandbox: &mut Sandbox, hidden: &[(i32, u32)]) -> Result<(), Error> {
        if hidden.is_empty() {
            return Ok(());
        }
        let delete = hidden
            .iter()
            .map(|(netns, index)| device::delete_in(*netns, *index));
        let delete: Vec<Request> = delete.collect();
        // A device that was moved again is out of reach.
        let _ = sandbox.apply(&[], &delete)?;
        Ok(())
    }
}

/// A vlan on a link of the pod keeps that link's MAC address: the bridge behind it forwards to no other.
fn mac_of(want: &Want, device: &Device) -> Option<[u8; 6]> {
    match device {
        Device::Inside {
            data: Data::Vlan(_),
            ..
        } => want.link.mac,
        _ => Some(want.mac(None)),
    }
}
