mod door;
mod membership;
mod random;
