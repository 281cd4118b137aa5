//! The linter from outside: examples of the table, fixes, bad input.

mod table;
