//! How the pallets are set, by theme.

mod consensus;
mod governance;
mod privacy;
mod system;
mod vetting;

pub use consensus::{IspValidators, MaxIsps, Validating, KEPT_SESSIONS};
pub use governance::{CouncilInstance, MOTIONS_EACH};
pub use vetting::{NOTHING_TO_VOTE_ON, NOT_ON_COUNCIL, UNBLOCKABLE};
