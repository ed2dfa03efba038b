//! No pauses: the walks wait a moment for a target to leave its arenas alone, and an image never
//! changes. Without this a damaged heap would take the fuzzer a hundred times as long.

/// Takes the place of the C library's function of this name, which `std::thread::sleep` calls.
// SAFETY: no library has a contract with itself about this name but to call it with the arguments of
// clock_nanosleep(2), none of which is looked at; libFuzzer's own threads wait in `sleep`, inside the
// C library, and are not meant here.
#[unsafe(no_mangle)]
extern "C" fn clock_nanosleep(_clock: i32, _flags: i32, _wanted: *const u8, _left: *mut u8) -> i32 {
    0
}

/// The same for the other function that `std::thread::sleep` may call.
// SAFETY: as above, for nanosleep(2).
#[unsafe(no_mangle)]
extern "C" fn nanosleep(_wanted: *const u8, _left: *mut u8) -> i32 {
    0
}
