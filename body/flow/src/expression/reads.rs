//! Finds the roots and steps that an expression reads, from its syntax tree.
//!
//! Each term is followed together with its `.`: the root, `.steps`, or a value that is below them
//! or computed. A read whose name is not known (`.steps[.input.key]`) counts as a read of all.

use jaq_core::{
    load::parse::{BinaryOp, Pattern, Term as Tree},
    path::Part,
};

use super::{
    Mistake, Names,
    allowed::is_update,
    functions::{BLIND, INNER},
    syntax::{Term, literal},
    walk::{children, part_terms, variables},
};

/// Roots and steps that an expression may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// `.input`
    pub(super) input: bool,
    /// `.item` and `.index`
    pub(super) item: bool,
    /// `.error`
    pub(super) error: bool,
    /// The indexes of the steps, ascending.
    pub(super) steps: Vec<usize>,
}

/// Kind of the value of `.`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dot {
    Root,
    Steps,
    Other,
}

/// Finds the roots that a term reads. Reports every root or step that it may not read.
pub(super) fn reads(term: &Term<'_>, names: &Names<'_>, mistakes: &mut Vec<Mistake>) -> Reads {
    let mut reader = Reader { names, reads: Reads::default(), variables: Vec::new(), mistakes };
    let given = reader.follow(term, Dot::Root);
    reader.all_of(given);
    let mut reads = reader.reads;
    reads.steps.sort_unstable();
    reads.steps.dedup();
    reads
}

struct Reader<'r, 's> {
    names: &'r Names<'r>,
    reads: Reads,
    variables: Vec<(&'s str, Dot)>,
    mistakes: &'r mut Vec<Mistake>,
}

impl<'s> Reader<'_, 's> {
    /// Follows a term whose input is `dot`, and returns the kind of its value.
    fn follow(&mut self, term: &Term<'s>, dot: Dot) -> Dot {
        match term {
            Tree::Id => dot,
            Tree::Var(name) => self.variable(name),
            Tree::Path(term, path) => {
                let start = self.follow(term, dot);
                path.0.iter().fold(start, |at, (part, _)| self.part(at, part, dot))
            }
            Tree::BinOp(left, operator, right) => self.operator(left, operator, right, dot),
            Tree::Label(_, term) => self.follow(term, dot),
            Tree::TryCatch(term, catch) => {
                catch.iter().for_each(|catch| self.whole(catch, Dot::Other));
                self.follow(term, dot)
            }
            Tree::IfThenElse(branches, rest) => {
                branches.iter().for_each(|(condition, _)| {
                    self.follow(condition, dot);
                });
                let mut given = rest.as_deref().map_or(dot, |rest| self.follow(rest, dot));
                for (_, then) in branches {
                    let other = self.follow(then, dot);
                    given = self.either(given, other);
                }
                given
            }
            Tree::Fold(_, list, pattern, arguments) => {
                let items = self.follow(list, dot);
                let bound = self.bind(pattern, items);
                arguments.iter().enumerate().for_each(|(at, argument)| {
                    self.whole(argument, if at == 0 { dot } else { Dot::Other });
                });
                self.variables.truncate(self.variables.len() - bound);
                Dot::Other
            }
            Tree::Call(name, arguments) => self.call(name, arguments, dot),
            Tree::Obj(entries) => {
                entries.iter().for_each(|(key, value)| self.entry(key, value.as_ref(), dot));
                Dot::Other
            }
            other => {
                children(other).into_iter().for_each(|child| self.whole(child, dot));
                Dot::Other
            }
        }
    }

    /// Follows a term whose value is used as a whole.
    fn whole(&mut self, term: &Term<'s>, dot: Dot) {
        let given = self.follow(term, dot);
        self.all_of(given);
    }

    fn all_of(&mut self, dot: Dot) {
        if dot == Dot::Root {
            self.reads.input = true;
            self.reads.item = self.names.each;
            self.reads.error = self.names.catch;
        }
        if dot != Dot::Other {
            self.reads.steps.extend(self.names.before);
        }
    }

    fn either(&mut self, left: Dot, right: Dot) -> Dot {
        if left == right {
            return left;
        }
        self.all_of(left);
        self.all_of(right);
        Dot::Other
    }

    fn variable(&self, name: &str) -> Dot {
        let bound = self.variables.iter().rev().find(|(variable, _)| *variable == name);
        bound.map_or(Dot::Other, |(_, dot)| *dot)
    }

    /// Binds a pattern's variables and returns their number. A destructured root is read as a
    /// whole.
    fn bind(&mut self, pattern: &Pattern<&'s str>, dot: Dot) -> usize {
        let names = variables(pattern);
        let dot = if matches!(pattern, Pattern::Var(_)) {
            dot
        } else {
            self.all_of(dot);
            Dot::Other
        };
        self.variables.extend(names.iter().map(|name| (*name, dot)));
        names.len()
    }

    fn operator(
        &mut self,
        left: &Term<'s>,
        operator: &BinaryOp<&'s str>,
        right: &Term<'s>,
        dot: Dot,
    ) -> Dot {
        match operator {
            BinaryOp::Pipe(None) => {
                let middle = self.follow(left, dot);
                self.follow(right, middle)
            }
            BinaryOp::Pipe(Some(pattern)) => {
                let value = self.follow(left, dot);
                let bound = self.bind(pattern, value);
                let given = self.follow(right, dot);
                self.variables.truncate(self.variables.len() - bound);
                given
            }
            BinaryOp::Comma | BinaryOp::Alt => {
                let left = self.follow(left, dot);
                let right = self.follow(right, dot);
                self.either(left, right)
            }
            update if is_update(update) => {
                self.all_of(dot);
                self.follow(left, dot);
                self.whole(
                    right,
                    if matches!(update, BinaryOp::Update) { Dot::Other } else { dot },
                );
                Dot::Other
            }
            _ => {
                self.whole(left, dot);
                self.whole(right, dot);
                Dot::Other
            }
        }
    }

    fn call(&mut self, name: &str, arguments: &[Term<'s>], dot: Dot) -> Dot {
        if !BLIND.contains(&(name, arguments.len())) {
            self.all_of(dot);
        }
        let inner = INNER
            .iter()
            .find(|(function, arity, _)| *function == name && *arity == arguments.len());
        let inner = inner.map_or(usize::MAX, |(_, _, from)| *from);
        arguments.iter().enumerate().for_each(|(at, argument)| {
            self.whole(argument, if at >= inner { Dot::Other } else { dot });
        });
        Dot::Other
    }

    /// Follows an entry: `{a: .b}`, `{$x}`, or `{input}`, which means `{input: .input}`.
    fn entry(&mut self, key: &Term<'s>, value: Option<&Term<'s>>, dot: Dot) {
        match (literal(key), value) {
            (Some(name), None) => {
                let given = self.name(dot, &name);
                self.all_of(given);
            }
            (_, None) => self.whole(key, dot),
            (_, Some(value)) => {
                self.whole(key, dot);
                self.whole(value, dot);
            }
        }
    }

    fn part(&mut self, at: Dot, part: &Part<Term<'s>>, dot: Dot) -> Dot {
        if let Part::Index(index) = part
            && let Some(name) = literal(index)
        {
            return self.name(at, &name);
        }
        let mut terms = Vec::new();
        part_terms(part, &mut terms);
        terms.into_iter().for_each(|term| self.whole(term, dot));
        self.all_of(at);
        Dot::Other
    }

    fn name(&mut self, at: Dot, name: &str) -> Dot {
        match (at, name) {
            (Dot::Root, "input") => self.reads.input = true,
            (Dot::Root, "steps") => return Dot::Steps,
            (Dot::Root, "item" | "index") if self.names.each => self.reads.item = true,
            (Dot::Root, "error") if self.names.catch => self.reads.error = true,
            (Dot::Root, name) => self.mistakes.push(self.names.no_root(name)),
            (Dot::Steps, name) => match self.names.find(name) {
                Ok(index) => self.reads.steps.push(index),
                Err(mistake) => self.mistakes.push(mistake),
            },
            (Dot::Other, _) => {}
        }
        Dot::Other
    }
}
