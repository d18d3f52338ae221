//! A stand-in for NVIDIA's driver: one device with no processor. Its memory is the host's,
//! kernels are kept as files and do not run, but for those that a library of their name is
//! beside, which was compiled for the host (`emulator.hpp`). Graphs are lists of what was asked
//! for while they were captured; memory is not to be had meanwhile.
//!
//! Compiled by the test beside it into a library of its own, so it knows nothing but `std`.
//! The environment says what it plays: `EAGLET_TEST_CAPABILITY` (80, 86...),
//! `EAGLET_TEST_MEMORY` (bytes) and `EAGLET_TEST_KERNELS` (a folder).
#![allow(non_snake_case, missing_docs)]

use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::sync::Mutex;

type Status = c_int;
const FINE: Status = 0;
const INVALID: Status = 1;
const OUT_OF_MEMORY: Status = 2;
const CAPTURING: Status = 900;
const NOT_FOUND: Status = 500;

/// What streams, events, modules and functions are: anything but null.
const SOMETHING: usize = 16;

fn number(name: &str) -> usize {
    let value = std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok());
    value.unwrap_or_default()
}

fn give<T>(to: *mut T, value: T) -> Status {
    // SAFETY: callers of a driver pass places for its answers.
    unsafe { to.write(value) };
    FINE
}

/// Sizes of what is allocated, by address.
static MEMORY: Mutex<Option<HashMap<usize, usize>>> = Mutex::new(None);

/// Memory, or why there is none.
fn allocated(at: *mut usize, bytes: usize) -> Status {
    if is_capturing() {
        return CAPTURING;
    }
    allocate(bytes).map_or(OUT_OF_MEMORY, |found| give(at, found))
}

fn allocate(bytes: usize) -> Option<usize> {
    let mut memory = MEMORY.lock().ok()?;
    let memory = memory.get_or_insert_default();
    if memory.values().sum::<usize>() + bytes > number("EAGLET_TEST_MEMORY") {
        return None;
    }
    // SAFETY: the size is not zero.
    let at = unsafe { alloc(Layout::from_size_align(bytes.max(1), 512).ok()?) } as usize;
    memory.insert(at, bytes);
    Some(at)
}

fn free(at: usize) -> Status {
    let Ok(mut memory) = MEMORY.lock() else {
        return INVALID;
    };
    let Some(bytes) = memory.get_or_insert_default().remove(&at) else {
        return INVALID;
    };
    if let Ok(layout) = Layout::from_size_align(bytes.max(1), 512) {
        // SAFETY: it was allocated so.
        unsafe { dealloc(at as *mut u8, layout) };
    }
    FINE
}

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Eight-byte words of each argument of an emulated kernel, by its address.
static WORDS: Mutex<Option<HashMap<usize, Vec<usize>>>> = Mutex::new(None);

/// What streams do, at once or when a graph is launched.
#[derive(Clone)]
enum Work {
    /// Bytes, from one place to another.
    Copy(usize, usize, usize),
    /// A kernel, its grid and workgroups, and the values of its arguments.
    Launch(usize, [c_uint; 6], Vec<Vec<u64>>),
}

impl Work {
    fn run(&self) {
        match self {
            // SAFETY: both are memory of the host.
            Self::Copy(to, from, bytes) => unsafe {
                (*from as *const u8).copy_to(*to as *mut u8, *bytes);
            },
            Self::Launch(function, [x, y, z, units @ ..], values) => {
                // SAFETY: it is none of those that do not run.
                let run: Emulated = unsafe { std::mem::transmute(*function) };
                let pointers = values.iter().map(|value| value.as_ptr() as *mut c_void);
                let mut pointers: Vec<_> = pointers.collect();
                run(*x, *y, *z, units[0], units[1], units[2], pointers.as_mut_ptr());
            }
        }
    }
}

/// What is being captured.
static CAPTURE: Mutex<Option<Vec<Work>>> = Mutex::new(None);
/// What was captured; a graph is one more than its place.
static GRAPHS: Mutex<Vec<Vec<Work>>> = Mutex::new(Vec::new());

fn is_capturing() -> bool {
    CAPTURE.lock().is_ok_and(|capture| capture.is_some())
}

fn work(work: Work) -> Status {
    let Ok(mut capture) = CAPTURE.lock() else {
        return INVALID;
    };
    match &mut *capture {
        Some(all) => all.push(work),
        None => work.run(),
    }
    FINE
}

/// Runs a kernel of a grid and workgroups, with its arguments.
type Emulated =
    extern "C" fn(c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, *mut *mut c_void);

/// The address of an [`Emulated`], if there is one for a kernel of this name.
fn emulated(name: &str) -> Option<usize> {
    const NOW: c_int = 2;
    let folder = std::env::var_os("EAGLET_TEST_KERNELS")?;
    let file = std::path::Path::new(&folder).join(format!("{name}.so"));
    let file = CString::new(file.to_str()?).ok()?;
    // SAFETY: the names end with zeros, and the library does nothing by being loaded; what it
    // has is what `emulator.hpp` says.
    let (run, words) = unsafe {
        let library = dlopen(file.as_ptr(), NOW);
        if library.is_null() {
            return None;
        }
        let words = dlsym(library, c"eaglet_words".as_ptr());
        let words: extern "C" fn(c_uint) -> c_uint = std::mem::transmute(words);
        (dlsym(library, c"eaglet_emulate".as_ptr()) as usize, words)
    };
    let words = (0..).map(|argument| words(argument)).take_while(|&words| words > 0);
    let words = words.map(|words| words as usize).collect();
    WORDS.lock().ok()?.get_or_insert_default().insert(run, words);
    Some(run)
}

macro_rules! driver {
    ($($name:ident($($arg:ident: $kind:ty),*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($($arg: $kind),*) -> Status $body
    )*};
}

driver! {
    cuInit(_flags: c_uint) { FINE }
    cuDeviceGetCount(count: *mut c_int) { give(count, 1) }
    cuDeviceGet(device: *mut c_int, ordinal: c_int) { give(device, ordinal) }
    cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) {
        give(bytes, number("EAGLET_TEST_MEMORY"))
    }
    cuDeviceGetName(name: *mut c_char, _length: c_int, _device: c_int) {
        give(name.cast(), *b"stand-in\0")
    }
    cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, _device: c_int) {
        let capability = number("EAGLET_TEST_CAPABILITY") as c_int;
        give(value, match attribute {
            1 | 2 | 3 => 1024,
            4 => 64,
            5 => c_int::MAX,
            6 | 7 => 65535,
            10 => 32,
            16 => 80,
            75 => capability / 10,
            76 => capability % 10,
            // Shared memory of a workgroup: the least of all that are supported.
            97 => 99 << 10,
            _ => 0,
        })
    }
    cuDevicePrimaryCtxRetain(context: *mut usize, _device: c_int) { give(context, SOMETHING) }
    cuCtxSetCurrent(_context: usize) { FINE }
    cuStreamCreate(stream: *mut usize, _flags: c_uint) { give(stream, SOMETHING) }
    cuStreamSynchronize(_stream: usize) { FINE }
    cuStreamWaitEvent(_stream: usize, _event: usize, _flags: c_uint) { FINE }
    cuEventCreate(event: *mut usize, _flags: c_uint) { give(event, SOMETHING) }
    cuEventRecord(_event: usize, _stream: usize) { FINE }
    cuEventSynchronize(_event: usize) { FINE }
    cuEventDestroy_v2(_event: usize) { FINE }

    cuMemAllocAsync(at: *mut usize, bytes: usize, _stream: usize) { allocated(at, bytes) }
    cuMemAlloc_v2(at: *mut usize, bytes: usize) { allocated(at, bytes) }
    cuMemFreeAsync(at: usize, _stream: usize) { free(at) }
    cuMemFree_v2(at: usize) { free(at) }
    // Memory of the host: not counted, and leaked.
    cuMemAllocHost_v2(at: *mut usize, bytes: usize) {
        give(at, vec![0u128; bytes.div_ceil(16)].leak().as_ptr() as usize)
    }
    cuMemFreeHost(_at: usize) { FINE }
    cuMemcpyHtoDAsync_v2(to: usize, from: usize, bytes: usize, _stream: usize) {
        work(Work::Copy(to, from, bytes))
    }
    cuMemcpyDtoHAsync_v2(to: *mut u8, from: usize, bytes: usize, _stream: usize) {
        // SAFETY: both are memory of the host.
        unsafe { to.copy_from(from as *const u8, bytes) };
        FINE
    }
    cuMemcpy2DAsync_v2(copy: *const Copy2D, _stream: usize) {
        // SAFETY: callers describe memory that is theirs; all is the host's here.
        unsafe {
            let Copy2D { from, to, width, height } = copy.read();
            for row in 0..height {
                let read = (from.place() + row * from.pitch) as *const u8;
                read.copy_to((to.place() + row * to.pitch) as *mut u8, width);
            }
        }
        FINE
    }

    cuModuleLoadData(module: *mut usize, code: *const c_char) {
        static LOADED: Mutex<usize> = Mutex::new(0);
        let (Ok(mut loaded), Some(folder)) =
            (LOADED.lock(), std::env::var_os("EAGLET_TEST_KERNELS"))
        else {
            return INVALID;
        };
        *loaded += 1;
        let file = std::path::Path::new(&folder).join(format!("{loaded}.ptx"));
        // SAFETY: code in text ends with a zero.
        let code = unsafe { CStr::from_ptr(code) };
        match std::fs::write(file, code.to_bytes()) {
            Ok(()) => give(module, SOMETHING),
            Err(_) => INVALID,
        }
    }
    cuModuleGetFunction(function: *mut usize, _module: usize, name: *const c_char) {
        // SAFETY: a name ends with a zero.
        let name = unsafe { CStr::from_ptr(name) };
        give(function, name.to_str().ok().and_then(emulated).unwrap_or(SOMETHING))
    }
    cuFuncSetAttribute(_function: usize, _attribute: c_int, _value: c_int) { FINE }
    cuLaunchKernel(
        function: usize,
        x: c_uint, y: c_uint, z: c_uint,
        units_x: c_uint, units_y: c_uint, units_z: c_uint,
        _shared: c_uint,
        _stream: usize,
        arguments: *mut *mut c_void,
        _extra: *mut *mut c_void
    ) {
        if function == SOMETHING {
            return FINE;
        }
        let Ok(words) = WORDS.lock() else {
            return INVALID;
        };
        let words = words.as_ref().and_then(|all| all.get(&function)).into_iter().flatten();
        let values = words.enumerate().map(|(at, &words)| {
            // SAFETY: an emulated kernel has so many arguments of so many words.
            unsafe { std::slice::from_raw_parts(arguments.add(at).read().cast(), words).to_vec() }
        });
        let sizes = [x, y, z, units_x, units_y, units_z];
        work(Work::Launch(function, sizes, values.collect()))
    }

    cuStreamBeginCapture_v2(_stream: usize, _mode: c_int) {
        match CAPTURE.lock() {
            Ok(mut capture) if capture.is_none() => *capture = Some(Vec::new()),
            _ => return INVALID,
        }
        FINE
    }
    cuStreamEndCapture(_stream: usize, graph: *mut usize) {
        let (Ok(mut capture), Ok(mut graphs)) = (CAPTURE.lock(), GRAPHS.lock()) else {
            return INVALID;
        };
        let Some(all) = capture.take() else {
            return INVALID;
        };
        graphs.push(all);
        give(graph, graphs.len())
    }
    // What it asks for are allocations, of which there are none.
    cuGraphGetNodes(_graph: usize, _nodes: *mut usize, count: *mut usize) { give(count, 0) }
    cuGraphInstantiateWithFlags(launched: *mut usize, graph: usize, _flags: u64) {
        give(launched, graph)
    }
    cuGraphUpload(_graph: usize, _stream: usize) { FINE }
    cuGraphLaunch(graph: usize, _stream: usize) {
        let all = GRAPHS.lock().ok().and_then(|graphs| graphs.get(graph - 1).cloned());
        all.map_or(INVALID, |all| {
            all.iter().for_each(Work::run);
            FINE
        })
    }
    cuGraphDestroy(_graph: usize) { FINE }
    cuGraphExecDestroy(_graph: usize) { FINE }

    // NVRTC asks for the driver's cache of compiled kernels: there is none.
    cuGetExportTable(_table: *mut usize, _id: *const c_void) { NOT_FOUND }

    cuGetErrorName(_status: Status, name: *mut *const c_char) {
        give(name, c"ERROR".as_ptr())
    }
    cuGetErrorString(status: Status, text: *mut *const c_char) {
        give(text, if status == OUT_OF_MEMORY { c"out of memory" } else { c"invalid" }.as_ptr())
    }
}

/// One side of a copy of rows, as the driver's header lays it out.
#[repr(C)]
pub struct Side {
    x: usize,
    y: usize,
    kind: c_uint,
    host: usize,
    device: usize,
    array: usize,
    pitch: usize,
}

impl Side {
    fn place(&self) -> usize {
        let start = if self.kind == 1 {
            self.host
        } else {
            self.device
        };
        start + self.y * self.pitch + self.x
    }
}

#[repr(C)]
pub struct Copy2D {
    from: Side,
    to: Side,
    width: usize,
    height: usize,
}
