//! The linter from outside: examples of the table, fixes, silence, bad input, documentation.

mod broken;
mod docs;
mod fixes;
mod fuzz;
mod settings;
mod table;
