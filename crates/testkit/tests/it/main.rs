//! The whole stack of real binaries, driven and checked from outside. Each test is one run with its own stack.

mod scene;
mod smoke;
