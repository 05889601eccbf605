mod announce;
mod answer;
mod endings;
mod random;
mod read;
mod send;
mod whitelist;
