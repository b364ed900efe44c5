//! The pure core of stage 2: no redis, actix, tokio, clock, randomness, floats or hash maps with random
//! order in here. Values in, values out.

pub mod tree;
