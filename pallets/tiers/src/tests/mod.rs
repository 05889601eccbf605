mod door;
mod governance;
mod keys;
mod ledger;
mod membership;
mod migration;
mod offences;
mod random;
