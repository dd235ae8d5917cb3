//! jaq: a term compiled once, and run on a root with a meter.

use std::{
    collections::BTreeSet,
    fmt::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use jaq_core::{
    Compiler, Ctx, Filter, Vars,
    load::{
        Arena, File, Loader,
        parse::{Def, Term as Tree},
    },
};
use jaq_json::{Error, Val};

use super::{
    Mistake,
    functions::FUNCTIONS,
    meter::metered,
    natives::{self, Budget, Meter, Metered},
    syntax::Term,
    walk::children,
};

/// The name of the expression itself among the definitions.
const MAIN: &str = "__main";
/// How much of a failure's text is kept: jaq puts whole values into it.
const MESSAGE_CHARS_MAX: usize = 200;

/// A compiled expression.
pub(super) struct Program(Filter<Metered>);

/// jaq's definitions in jq, metered.
fn definitions() -> &'static [Def<&'static str>] {
    static DEFINITIONS: OnceLock<Vec<Def<&'static str>>> = OnceLock::new();
    DEFINITIONS.get_or_init(|| {
        let all = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        all.map(|Def { name, args, body }| Def { name, args, body: metered(body) }).collect()
    })
}

/// The names of all that a term calls, directly or through jaq's definitions.
fn called<'s>(term: &Term<'s>, names: &mut BTreeSet<&'s str>) {
    let name = match term {
        Tree::Call(name, _) | Tree::Str(Some(name), _) => Some(*name),
        _ => None,
    };
    if let Some(name) = name
        && names.insert(name)
    {
        let same = definitions().iter().filter(|definition| definition.name == name);
        same.for_each(|definition| called(&definition.body, names));
    }
    children(term).into_iter().for_each(|child| called(child, names));
}

impl Program {
    /// Compiles a term that was checked.
    pub(super) fn compile(term: Term<'_>) -> Result<Self, Mistake> {
        let mut names = BTreeSet::new();
        let body = metered(term);
        called(&body, &mut names);
        let used = definitions().iter().filter(|definition| names.contains(definition.name)).cloned();
        let main = Def { name: MAIN, args: Vec::new(), body };
        let arena = Arena::default();
        let modules = Loader::new(used.chain([main])).load(&arena, File { code: MAIN, path: () });
        let modules = modules.map_err(|_| wrong("the expression cannot be loaded"))?;
        // Nothing that reads the clock, the environment or input is compiled in at all.
        let functions =
            jaq_core::funs().chain(jaq_std::base_funs()).chain(jaq_std::extra_funs()).chain(jaq_json::funs());
        let functions = functions.filter(|(name, ..)| is_pure(name));
        let compiled =
            Compiler::default().with_funs(natives::functions().into_iter().chain(functions)).compile(modules);
        compiled.map(Self).map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            wrong(&first.map_or_else(String::new, |(name, kind)| format!("there is no {} `{name}`", kind.as_str())))
        })
    }

    /// Runs the program; it must give exactly one value.
    pub(super) fn run(&self, root: Val) -> Result<Val, String> {
        let budget = Budget::new();
        // A guard against faults in jaq: a flow's fault must stay the flow's.
        let result = catch_unwind(AssertUnwindSafe(|| self.run_metered(root, &budget)));
        result.unwrap_or_else(|_| Err("the expression engine failed on these values".to_owned()))
    }

    fn run_metered(&self, root: Val, budget: &Budget) -> Result<Val, String> {
        let meter = Meter { program: &self.0.lut, budget };
        let mut values = self.0.id.run((Ctx::<Metered>::new(meter, Vars::new([])), root));
        let mut next =
            || values.next().map(|value| value.map_err(|error| error.get_err().map_or_else(|_| String::new(), text)));
        let first = next();
        let second = if matches!(first, Some(Ok(_))) { next() } else { None };
        if budget.is_spent() {
            return Err(natives::SPENT.to_owned());
        }
        match (first, second) {
            (None, _) => Err("it gives no value; write `… // null` for one that may be missing".to_owned()),
            (Some(Err(message)), _) | (_, Some(Err(message))) => Err(message),
            (Some(Ok(_)), Some(Ok(_))) => Err("it gives more than one value; write `[…]` for a list".to_owned()),
            (Some(Ok(value)), None) => natives::check_size(&value).map(|()| value).map_err(text),
        }
    }
}

/// Whether a function of jaq's is one that definitions of [`FUNCTIONS`] stand on.
fn is_pure(name: &str) -> bool {
    const INNER: &[&str] = &[
        "decode_base64",
        "decode_uri",
        "encode_base64",
        "encode_uri",
        "error_empty",
        "escape_html",
        "escape_sh",
        "key_values",
        "matches",
        "max_by_or_empty",
        "min_by_or_empty",
        "split_",
        "split_matches",
        "unescape_html",
    ];
    name != "fromjson" && (INNER.contains(&name) || FUNCTIONS.iter().any(|(function, _)| *function == name))
}

fn wrong(message: &str) -> Mistake {
    Mistake::new("flow-syntax", message)
}

/// An error of jaq's as one line of bounded length.
fn text(error: Error) -> String {
    let mut line = Line { text: String::new(), left: MESSAGE_CHARS_MAX };
    let written = match error.into_val() {
        Val::TStr(text) | Val::BStr(text) => line.write_str(&String::from_utf8_lossy(&text)),
        other => write!(line, "{other}"),
    };
    if written.is_err() {
        line.text.push('…');
    }
    line.text
}

/// Text that takes so many characters and then refuses, so that a great value is never written out.
struct Line {
    text: String,
    left: usize,
}

impl Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for char in part.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(if char.is_control() { ' ' } else { char });
        }
        Ok(())
    }
}
