//! A live Python copied into an [`Image`]: what `find` and the walk need of it, and no more.

use slackwater_memory::{Image, Memory, Symbols};
use slackwater_python::PythonImage;
use slackwater_remote::Live;

/// Symbols that `find` asks for.
const SYMBOLS: [&str; 3] = ["_PyRuntime", "Py_Version", "Py_GetVersion"];

/// Copies the interpreter's own file and all anonymous memory. Code is mapped, but empty.
pub(crate) fn record(live: &Live, python: &PythonImage) -> Image {
    let mut image = Image::new();
    for map in live.mappings() {
        let is_python = map.file() == Some(python.file);
        if !is_python && !map.is_anonymous_data() {
            continue;
        }
        let mut bytes = vec![0; map.range.len() as usize];
        if !map.access.execute && map.access.read {
            live.read(map.range.start, &mut bytes).unwrap();
        }
        image = image.map(map.range.start, bytes, map.kind.clone());
        image.set_access(map.range.start, map.access);
    }
    for name in SYMBOLS {
        if let Some(range) = live.symbol(python.file, name) {
            image.define(python.file, name, range);
        }
    }
    image
}
