//! The only test binary.

#[path = "contract/storages.rs"]
mod contract_storages;
