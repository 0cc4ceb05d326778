// SPDX-License-Identifier: Apache-2.0

//! The map world of wasm-graph:processor@1.1.0. Every type has the very layout
//! that the canonical ABI gives it in memory, so what the host writes is used as
//! it is, and freed by dropping it.
#![allow(dead_code)] // much of it only the host makes or reads

use std::alloc::{Layout, alloc, handle_alloc_error, realloc};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A list: a pointer to `len` items that it owns. That of an empty one is nobody's.
#[repr(C)]
pub struct List<T> {
    ptr: *mut T,
    len: usize,
}

impl<T> List<T> {
    pub fn as_slice(&self) -> &[T] {
        if self.len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(self.ptr, self.len) } }
    }

    pub fn into_vec(self) -> Vec<T> {
        let list = ManuallyDrop::new(self);
        if list.len == 0 { Vec::new() } else { unsafe { Vec::from_raw_parts(list.ptr, list.len, list.len) } }
    }
}

impl<T> Drop for List<T> {
    fn drop(&mut self) {
        drop(std::mem::take(self).into_vec())
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List { ptr: std::ptr::dangling_mut(), len: 0 }
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        let items: &mut [T] = Box::leak(items.into_boxed_slice());
        List { ptr: items.as_mut_ptr(), len: items.len() }
    }
}

/// A string.
#[repr(transparent)]
pub struct Str(List<u8>);

impl Str {
    pub fn as_str(&self) -> &str {
        unsafe { std::str::from_utf8_unchecked(self.0.as_slice()) } // the host has checked it
    }
}

/// A buffer of the host.
#[repr(transparent)]
pub struct Buffer(u32);

/// Whether the handles that are being dropped have gone back to the host.
static MOVED: AtomicBool = AtomicBool::new(false);

impl Drop for Buffer {
    fn drop(&mut self) {
        if !MOVED.load(Relaxed) {
            unsafe { buffer_drop(self.0) }
        }
    }
}

/// buffer-or-bytes and buffer-or-string.
#[repr(C, u8)]
pub enum Text {
    Buffer(Buffer),
    Bytes(List<u8>),
}

impl Text {
    /// Takes the bytes, those of a buffer from the host, and leaves none.
    pub fn read(&mut self) -> List<u8> {
        match std::mem::replace(self, Text::Bytes(List::default())) {
            Text::Bytes(bytes) => bytes,
            Text::Buffer(buffer) => {
                let mut bytes = List::default();
                unsafe { buffer_read(buffer.0, &mut bytes) }
                bytes
            }
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::Bytes(text.into_bytes().into())
    }
}

/// An option.
#[repr(C, u8)]
pub enum Maybe<T> {
    None,
    Some(T),
}

impl<T> From<Option<T>> for Maybe<T> {
    fn from(option: Option<T>) -> Self {
        option.map_or(Maybe::None, Maybe::Some)
    }
}

#[repr(C)]
pub struct Timestamp {
    pub seconds: u64,
    pub nanos: u32,
    pub counter: u64,
    pub node_id: Text,
}

#[repr(C)]
pub struct Property {
    pub key: Text,
    pub value: Text,
}

#[repr(C, u8)]
pub enum Schema {
    Reference(Text),
    Inline { name: Text, content: Text },
}

#[repr(C)]
pub struct Message {
    pub timestamp: Timestamp,
    pub topic: Text,
    pub content_type: Maybe<Text>,
    pub payload: Text,
    pub user_properties: List<Property>,
    pub schema: Maybe<Schema>,
}

#[repr(C)]
pub struct Snapshot {
    pub timestamp: Timestamp,
    pub format: Text,
    pub width: u32,
    pub height: u32,
    pub frame: Text,
}

#[repr(C, u8)]
pub enum DataModel {
    Text(Text),
    Message(Message),
    Snapshot(Snapshot),
}

#[repr(C)]
pub struct Setting {
    pub key: Str,
    pub value: Str,
}

#[repr(C)]
pub struct ModuleSchema {
    pub name: Str,
    pub content_type: Str,
    pub content: Str,
}

/// The error of process: its message.
#[repr(transparent)]
pub struct Error(Str);

impl<T: Into<String>> From<T> for Error {
    fn from(message: T) -> Self {
        Error(Str(message.into().into_bytes().into()))
    }
}

/// What process returns.
#[repr(C, u8)]
pub enum Outcome {
    Ok(DataModel),
    Err(Error),
}

const _: () = assert!(size_of::<Outcome>() == 136 && size_of::<Message>() == 120);

#[repr(u32)]
#[derive(Clone, Copy)]
pub enum Level {
    Info = 2,
}

pub fn log(level: Level, context: &str, message: &str) {
    unsafe { host_log(level as u32, context.as_ptr(), context.len(), message.as_ptr(), message.len()) }
}

#[link(wasm_import_module = "wasm-graph:processor/logger@1.1.0")]
unsafe extern "C" {
    #[link_name = "log"]
    fn host_log(level: u32, context: *const u8, context_len: usize, message: *const u8, message_len: usize);
}

#[link(wasm_import_module = "wasm-graph:processor/types@1.1.0")]
unsafe extern "C" {
    #[link_name = "[method]buffer.read"]
    fn buffer_read(buffer: u32, out: *mut List<u8>);
    #[link_name = "[resource-drop]buffer"]
    fn buffer_drop(buffer: u32);
}

#[unsafe(export_name = "wasm-graph:processor/map@1.1.0#init")]
extern "C" fn init(ptr: *mut Setting, len: usize, schemas_ptr: *mut ModuleSchema, schemas_len: usize) -> bool {
    drop(List { ptr: schemas_ptr, len: schemas_len });
    crate::init(List { ptr, len }.as_slice())
}

#[unsafe(export_name = "wasm-graph:processor/map@1.1.0#process")]
extern "C" fn process(data: Box<DataModel>) -> Box<Outcome> {
    Box::new(match crate::process(*data) {
        Ok(data) => Outcome::Ok(data),
        Err(error) => Outcome::Err(error),
    })
}

#[unsafe(export_name = "cabi_post_wasm-graph:processor/map@1.1.0#process")]
extern "C" fn process_done(outcome: Box<Outcome>) {
    MOVED.store(true, Relaxed);
    drop(outcome);
    MOVED.store(false, Relaxed);
}

#[unsafe(export_name = "cabi_realloc")]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_len: usize, align: usize, len: usize) -> *mut u8 {
    if len == 0 {
        return align as *mut u8;
    }
    unsafe {
        let layout = Layout::from_size_align_unchecked(len, align);
        let new = match old_len {
            0 => alloc(layout),
            _ => realloc(old, Layout::from_size_align_unchecked(old_len, align), len),
        };
        if new.is_null() {
            handle_alloc_error(layout);
        }
        new
    }
}
