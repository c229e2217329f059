//! One of a few words.

use super::super::source::Raw;
use super::{Form, quoted, text};

/// One of these words, and what each means.
pub(in crate::config) struct Choice<T: 'static>(pub(in crate::config) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Form for Choice<T> {
    type Value = T;

    fn expected(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("`{word}`")).collect();
        words.join(" or ")
    }

    fn parse(&self, raw: &Raw) -> Result<T, Option<String>> {
        let given = text(raw).ok_or(None)?;
        let meant = self.0.iter().find(|(word, _)| *word == given);
        meant.map(|(_, value)| *value).ok_or(None)
    }

    fn show(&self, value: &T) -> String {
        let word = self.0.iter().find(|(_, known)| known == value);
        quoted(word.map_or("", |(word, _)| word))
    }
}
