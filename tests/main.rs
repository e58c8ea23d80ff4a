//! The only test binary.

#[path = "contract/layers.rs"]
mod contract_layers;
#[path = "contract/local.rs"]
mod contract_local;
#[path = "contract/storages.rs"]
mod contract_storages;
