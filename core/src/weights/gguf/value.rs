//! GGUF metadata values: a `u32` type number, then the value, little-endian.

use super::cursor::Cursor;
use crate::error::Result;

/// Type numbers of the values that are not plain numbers.
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Writes [`Value`], [`Array`] and their readers from one table of the number types.
macro_rules! number_types {
    (
        integers: $($int_id:literal $int:ident $int_type:ty,)*
        floats: $($float_id:literal $float:ident $float_type:ty,)*
    ) => {
        /// A metadata value of a GGUF file; the variants are GGUF's own types.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "a variant says no more than the type that it holds")]
        pub enum Value {
            $($int($int_type),)*
            $($float($float_type),)*
            Bool(bool),
            String(String),
            Array(Array),
        }

        /// An array of one element type. GGUF allows arrays of arrays; no known writer
        /// makes them, and they are refused.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "a variant says no more than the type that it holds")]
        pub enum Array {
            $($int(Vec<$int_type>),)*
            $($float(Vec<$float_type>),)*
            Bool(Vec<bool>),
            String(Vec<String>),
        }

        impl Value {
            /// Reads a value of type number `id`; `key` names it in errors.
            pub(super) fn read(cursor: &mut Cursor<'_>, id: u32, key: &str) -> Result<Value> {
                Ok(match id {
                    $($int_id => Value::$int(<$int_type>::from_le_bytes(cursor.array(key)?)),)*
                    $($float_id => Value::$float(<$float_type>::from_le_bytes(cursor.array(key)?)),)*
                    BOOL => Value::Bool(read_bool(cursor, key)?),
                    STRING => Value::String(cursor.string(key)?),
                    ARRAY => Value::Array(Array::read(cursor, key)?),
                    _ => return Err(cursor.invalid(format!("`{key}` has unknown type {id}"))),
                })
            }

            /// Appends the type number and the value, as a reader expects them.
            pub(super) fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Value::$int(value) => put(out, $int_id, &value.to_le_bytes()),)*
                    $(Value::$float(value) => put(out, $float_id, &value.to_le_bytes()),)*
                    Value::Bool(value) => put(out, BOOL, &[u8::from(*value)]),
                    Value::String(value) => {
                        put(out, STRING, &[]);
                        write_string(out, value);
                    }
                    Value::Array(array) => {
                        put(out, ARRAY, &[]);
                        array.write(out);
                    }
                }
            }

            /// An integer of any width that is not negative.
            pub fn as_u64(&self) -> Option<u64> {
                match self {
                    $(Value::$int(value) => u64::try_from(*value).ok(),)*
                    _ => None,
                }
            }

            /// A number of any type; 64-bit integers are rounded.
            pub fn as_f64(&self) -> Option<f64> {
                match self {
                    $(Value::$int(value) => Some(*value as f64),)*
                    $(Value::$float(value) => Some(f64::from(*value)),)*
                    _ => None,
                }
            }

            /// An array of integers of any width, none of them negative.
            pub fn as_u64s(&self) -> Option<Vec<u64>> {
                match self {
                    $(Value::Array(Array::$int(values)) => {
                        values.iter().map(|value| u64::try_from(*value).ok()).collect()
                    })*
                    _ => None,
                }
            }

            /// An array of numbers of any type, rounded to single precision.
            pub fn as_f32s(&self) -> Option<Vec<f32>> {
                match self {
                    $(Value::Array(Array::$int(values)) => {
                        Some(values.iter().map(|value| *value as f32).collect())
                    })*
                    $(Value::Array(Array::$float(values)) => {
                        Some(values.iter().map(|value| *value as f32).collect())
                    })*
                    _ => None,
                }
            }
        }

        impl Array {
            /// Reads the elements' type number, their count, and the elements.
            fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Array> {
                let id = cursor.u32(key)?;
                Ok(match id {
                    $($int_id => Array::$int(read_numbers(cursor, key, <$int_type>::from_le_bytes)?),)*
                    $($float_id => Array::$float(read_numbers(cursor, key, <$float_type>::from_le_bytes)?),)*
                    BOOL => {
                        let count = cursor.count(1, key)?;
                        Array::Bool((0..count).map(|_| read_bool(cursor, key)).collect::<Result<_>>()?)
                    }
                    STRING => {
                        // Even an empty string takes the eight bytes of its length.
                        let count = cursor.count(8, key)?;
                        Array::String((0..count).map(|_| cursor.string(key)).collect::<Result<_>>()?)
                    }
                    _ => {
                        let rule = format!("`{key}` is an array of unknown element type {id}");
                        return Err(cursor.invalid(rule));
                    }
                })
            }

            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Array::$int(values) => {
                        put(out, $int_id, &(values.len() as u64).to_le_bytes());
                        values.iter().for_each(|value| out.extend(value.to_le_bytes()));
                    })*
                    $(Array::$float(values) => {
                        put(out, $float_id, &(values.len() as u64).to_le_bytes());
                        values.iter().for_each(|value| out.extend(value.to_le_bytes()));
                    })*
                    Array::Bool(values) => {
                        put(out, BOOL, &(values.len() as u64).to_le_bytes());
                        out.extend(values.iter().map(|value| u8::from(*value)));
                    }
                    Array::String(values) => {
                        put(out, STRING, &(values.len() as u64).to_le_bytes());
                        values.iter().for_each(|value| write_string(out, value));
                    }
                }
            }
        }
    };
}

number_types! {
    integers:
        0 U8 u8, 1 I8 i8, 2 U16 u16, 3 I16 i16, 4 U32 u32, 5 I32 i32, 10 U64 u64, 11 I64 i64,
    floats:
        6 F32 f32, 12 F64 f64,
}

impl Value {
    /// Type and value for messages; a vocabulary would fill the screen.
    pub(super) fn brief(&self) -> String {
        match self {
            Value::Array(_) => "an array".into(),
            scalar => format!("{scalar:?}").chars().take(80).collect(),
        }
    }

    /// A string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(value) => Some(value),
            _ => None,
        }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// An array of strings.
    pub fn as_strings(&self) -> Option<&[String]> {
        match self {
            Value::Array(Array::String(values)) => Some(values),
            _ => None,
        }
    }
}

fn read_numbers<T, const N: usize>(
    cursor: &mut Cursor<'_>,
    key: &str,
    from_bytes: fn([u8; N]) -> T,
) -> Result<Vec<T>> {
    let count = cursor.u64(key)?;
    let (numbers, _) = cursor.take(count, N, key)?.as_chunks();
    Ok(numbers.iter().map(|bytes| from_bytes(*bytes)).collect())
}

fn read_bool(cursor: &mut Cursor<'_>, key: &str) -> Result<bool> {
    match cursor.array(key)? {
        [0] => Ok(false),
        [1] => Ok(true),
        [byte] => Err(cursor.invalid(format!("`{key}` must be 0 or 1 as a bool, found {byte}"))),
    }
}

fn put(out: &mut Vec<u8>, id: u32, bytes: &[u8]) {
    out.extend(id.to_le_bytes());
    out.extend(bytes);
}

/// A `u64` length and as many bytes of UTF-8.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
