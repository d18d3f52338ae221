//! Passes that a device repeats from a recording.

use std::any::Any;
use std::fmt;

/// What a device recorded of one owner's passes, for [`Ops::repeat`](super::Ops::repeat);
/// nothing where it records none.
#[derive(Default)]
pub struct Recorded(Option<Box<dyn Any>>);

impl Recorded {
    /// The device's own form of it, empty at first.
    pub fn of<T: Any + Default>(&mut self) -> &mut T {
        if !self.0.as_ref().is_some_and(|form| form.is::<T>()) {
            self.0 = None;
        }
        let form = self.0.get_or_insert_with(|| Box::new(T::default()));
        // It is one: see above.
        form.downcast_mut().unwrap_or_else(|| unreachable!())
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "recorded" } else { "" })
    }
}
