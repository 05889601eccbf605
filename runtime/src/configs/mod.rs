//! How the pallets are set, by theme.

mod consensus;
mod system;
mod vetting;

pub use consensus::IspValidators;
pub use vetting::UNBLOCKABLE;
