//! What the loader and libc know of the program.
//!
//! Invariant: for constructors. The loader's functions lock.
#![allow(unsafe_code)] // libc's and CPython's C interfaces

use core::ffi::{CStr, c_char};

unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *mut c_char;
}

/// The value of an environment variable; none in a setuid program. It is the program's, and good as long
/// as nobody sets the variable.
pub fn environment(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: `name` is NUL-terminated.
    let value = unsafe { secure_getenv(name.as_ptr()) };
    // SAFETY: a string of the environment; it is read before `main`, when nobody changes that.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// What `name` means to the whole program: the address that its calls reach.
pub fn global_symbol(name: &CStr) -> Option<usize> {
    // SAFETY: `name` is NUL-terminated.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address as usize)
}

/// What Python says of its version, `3.12.1 (main, ...)`; it need not be initialised.
pub fn python_version() -> Option<&'static [u8]> {
    let function = global_symbol(c"Py_GetVersion")?;
    // SAFETY: this is what Python defines by that name, in every release.
    let function: extern "C" fn() -> *const c_char = unsafe { core::mem::transmute::<usize, _>(function) };
    let text = function();
    // SAFETY: a static, NUL-terminated buffer.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}
