//! The glibc walk held against glibc's own figures, on real processes.

mod books;
mod held;
mod roots;
mod trim;
