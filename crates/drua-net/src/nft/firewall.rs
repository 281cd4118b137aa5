//! Our table in one network namespace, and what it shall hold.

use std::collections::BTreeSet;

use rustix::io::Errno;

use super::elements::{Element, plan};
use super::table::{Kind, add_table, change_elements, delete_table, skeleton};
use crate::netlink::{Family, NetlinkError, Socket};

/// The owner of the table. Changes are transactions; a table that others damaged is rebuilt at the next change.
#[derive(Debug)]
pub(crate) struct Firewall {
    pub(super) socket: Socket,
    pub(super) table: String,
    elements: BTreeSet<Element>,
}

impl Firewall {
    /// Opens nftables in the calling thread's network namespace. Changes nothing yet.
    pub(crate) fn open(table: &str) -> Result<Self, NetlinkError> {
        Ok(Self { socket: Socket::open(Family::Netfilter)?, table: table.to_owned(), elements: BTreeSet::new() })
    }

    /// Adds elements.
    pub(crate) fn add(&mut self, elements: &BTreeSet<Element>) -> Result<(), NetlinkError> {
        self.change(self.elements.union(elements).cloned().collect())
    }

    /// Removes elements.
    pub(crate) fn remove(&mut self, elements: &BTreeSet<Element>) -> Result<(), NetlinkError> {
        self.change(self.elements.difference(elements).cloned().collect())
    }

    /// Replaces the whole table in one transaction, whatever is there now. Connections are not disturbed.
    pub(crate) fn replace(&mut self, elements: BTreeSet<Element>) -> Result<(), NetlinkError> {
        let added: Vec<Element> = elements.iter().cloned().collect();
        // Adding first makes the deletion succeed where there is no table.
        let mut requests = vec![add_table(&self.table), delete_table(&self.table), add_table(&self.table)];
        requests.extend(skeleton(&self.table));
        requests.extend(change_elements(&self.table, Kind::NewElements, &added));
        self.socket.transact(requests)?;
        self.elements = elements;
        Ok(())
    }

    /// Deletes the table; one that is not there is fine.
    pub(crate) fn delete(&mut self) -> Result<(), NetlinkError> {
        self.elements.clear();
        self.socket.transact(vec![add_table(&self.table), delete_table(&self.table)])
    }

    /// Rebuilds the table as it should be. Connections are not disturbed.
    pub(crate) fn repair(&mut self) -> Result<(), NetlinkError> {
        self.replace(self.elements.clone())
    }

    /// The number of the socket by which this firewall changes the table.
    pub(crate) fn port(&self) -> std::io::Result<u32> {
        self.socket.port()
    }

    fn change(&mut self, desired: BTreeSet<Element>) -> Result<(), NetlinkError> {
        let (removed, added) = plan(&self.elements, &desired);
        let mut requests = change_elements(&self.table, Kind::DelElements, &removed);
        requests.extend(change_elements(&self.table, Kind::NewElements, &added));
        match self.socket.transact(requests) {
            Ok(()) => {
                self.elements = desired;
                Ok(())
            }
            // The kernel does not hold what we believe: no table yet, or somebody flushed it (CVE-2025-54388).
            Err(error) if error.is(Errno::NOENT) || error.is(Errno::EXIST) => self.replace(desired),
            Err(error) => Err(error),
        }
    }
}
