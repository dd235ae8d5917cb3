//! Licence expressions: `MIT OR Apache-2.0`, `(MIT OR Apache-2.0) AND Unicode-3.0`, and the old
//! `MIT/Apache-2.0`.

/// True if the allowed licences satisfy the expression. An expression that cannot be read is not
/// allowed.
pub fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { rest: &tokens, allowed, understood: true };
    let answer = reader.any_of();
    answer && reader.understood && reader.rest.is_empty()
}

struct Reader<'a> {
    rest: &'a [&'a str],
    allowed: &'a [String],
    understood: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, word: &str) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == word => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn next(&mut self) -> &'a str {
        let Some((first, rest)) = self.rest.split_first() else {
            self.understood = false;
            return "";
        };
        self.rest = rest;
        first
    }

    fn any_of(&mut self) -> bool {
        let mut answer = self.all_of();
        while self.take("OR") {
            answer |= self.all_of();
        }
        answer
    }

    fn all_of(&mut self) -> bool {
        let mut answer = self.one();
        while self.take("AND") {
            answer &= self.one();
        }
        answer
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let answer = self.any_of();
            return self.take(")") && answer;
        }
        let mut licence = self.next().to_owned();
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.next());
        }
        self.allowed.contains(&licence)
    }
}
