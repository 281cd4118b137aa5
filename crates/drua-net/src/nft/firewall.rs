//! Our table in one network namespace, and what it shall hold.

use std::collections::BTreeSet;

use rustix::io::Errno;

use super::elements::{Element, Entry, Set, plan};
use super::table::{Kind, add_table, change_elements, delete_table, message, skeleton};
use crate::netlink::{Family, NetlinkError, Request, Socket, attributes, flags};

/// The owner of the table. Changes are transactions; a table that others damaged is rebuilt at the next change.
#[derive(Debug)]
pub(crate) struct Firewall {
    socket: Socket,
    table: String,
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

    /// Rebuilds the table if it does not hold what it should. Returns whether it did not.
    pub(crate) fn repair(&mut self) -> Result<bool, NetlinkError> {
        if self.observe()?.unwrap_or_default() == self.elements {
            return Ok(false);
        }
        self.replace(self.elements.clone())?;
        Ok(true)
    }

    /// What the kernel holds now, or `None` without a table.
    pub(crate) fn observe(&mut self) -> Result<Option<BTreeSet<Element>>, NetlinkError> {
        let mut elements = BTreeSet::new();
        for set in Set::ALL {
            let attempted = format!("list nftables set `{}.{}`", self.table, set.name());
            let message = message(Kind::GetElements, flags::DUMP).str(1, &self.table).str(2, set.name());
            match self.socket.query(Request { attempted, message }) {
                Ok(answers) => {
                    let entries: Vec<Entry> = answers.iter().flat_map(|(_, body)| parse_entries(body)).collect();
                    elements.extend(Element::from_entries(set, &entries));
                }
                Err(error) if error.is(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(elements))
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

/// The entries of one `NFT_MSG_NEWSETELEM`.
fn parse_entries(body: &[u8]) -> Vec<Entry> {
    let value = |nest: &[u8]| attributes(nest).find(|(kind, _)| *kind == 1).map(|(_, value)| value.to_vec());
    let entry = |element: &[u8]| {
        let attribute = |wanted| attributes(element).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let flags = attribute(3).and_then(|value| value.last().copied()).unwrap_or(0);
        Some(Entry { key: value(attribute(1)?)?, data: attribute(2).and_then(value), interval_end: flags & 1 != 0 })
    };
    attributes(body.get(4..).unwrap_or_default())
        .filter(|(kind, _)| *kind == 3)
        .flat_map(|(_, list)| attributes(list).filter_map(|(_, element)| entry(element)).collect::<Vec<_>>())
        .collect()
}
