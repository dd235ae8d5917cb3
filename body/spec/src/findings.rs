//! The mistakes of one file, collected while it is read.

use std::cell::RefCell;

use crate::{
    Diagnostic, code,
    source::{Source, SourceSpan},
};

/// Limit of the mistakes that are reported for one file: a file that is no spec at all must not
/// fill a terminal or the memory.
const MISTAKES_MAX: usize = 500;

/// A file's text and the mistakes found in it so far. All code that reads the file shares one
/// `Findings`, reports its mistakes here and continues.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) source: Source,
    list: RefCell<Vec<Diagnostic>>,
}

impl Findings {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, list: RefCell::default() }
    }

    /// Reports a mistake.
    pub(crate) fn add(
        &self,
        span: SourceSpan,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let mut list = self.list.borrow_mut();
        if list.len() < MISTAKES_MAX {
            list.push(
                Diagnostic::in_source(&self.source, span, code, message.into())
                    .with_hint(hint.into()),
            );
        } else if list.len() == MISTAKES_MAX {
            let message =
                format!("more than {MISTAKES_MAX} mistakes in this file: the rest is left out");
            let hint = Some("is this a file of specs? mend these first".to_owned());
            list.push(
                Diagnostic::in_source(&self.source, span, code::TOO_MANY, message).with_hint(hint),
            );
        }
    }

    /// Reports a mistake of the file as a whole.
    pub(crate) fn add_whole(&self, diagnostic: Diagnostic) {
        self.list.borrow_mut().push(diagnostic);
    }

    /// Number of mistakes so far.
    pub(crate) fn count(&self) -> usize {
        self.list.borrow().len()
    }

    /// The mistakes in the order of the text.
    pub(crate) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut list = self.list.into_inner();
        list.sort_by_key(|diagnostic| (diagnostic.span.offset, diagnostic.code));
        list.dedup();
        list
    }
}
