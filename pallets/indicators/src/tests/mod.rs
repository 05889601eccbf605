mod change_log;
mod endings;
mod protection;
mod random;
mod report;
mod vote;
mod withdraw;
