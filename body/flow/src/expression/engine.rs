//! jaq: a term compiled once, and run on a root with a meter.

use std::{
    collections::BTreeSet,
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
use jaq_json::Val;

use super::{
    Failure, Mistake,
    functions::FUNCTIONS,
    meter::metered,
    natives::{self, Budget, Meter, Metered},
    syntax::{Term, literal},
    walk::children,
};

/// The name of the expression itself among the definitions.
const MAIN: &str = "__main";

/// A compiled expression.
pub(super) struct Program {
    filter: Filter<Metered>,
    /// Texts that it gives to `error`. They stand in the spec, so they may leave the body.
    raised: Vec<String>,
}

/// Definitions according to jq's manual, for functions that jaq defines differently. Each one
/// replaces jaq's, and so it may call functions in Rust and definitions before it.
const OURS: &str = r#"
def del(f): reduce ([[path(f)] | group_by(.)[] | .[0]] | reverse)[] as $path (.; getpath($path) |= empty);
def join($s): [][0] as $null | reduce .[] as $x ($null;
  (if . == $null then "" else . + $s end)
  + ($x | if . == $null then "" elif . < "" then tojson else . end)
) // "";
def from_entries: reduce .[] as $x ({}; . + {
  ($x | if .key == [][0] then .k // .name // .Name // .K // .Key else .key end
    | if . >= "" and . < [] then . else tojson end):
  ($x | if has("value") then .value elif has("v") then .v else .Value end)
});
"#;
/// Definitions of jaq that this crate replaces with functions in Rust.
const NATIVE: &[&str] = &["infinite", "nan"];

/// The definitions in jq, metered.
fn definitions() -> &'static [Def<&'static str>] {
    static DEFINITIONS: OnceLock<Vec<Def<&'static str>>> = OnceLock::new();
    DEFINITIONS.get_or_init(|| {
        let ours = jaq_core::load::parse(OURS, |parser| parser.defs()).unwrap_or_default();
        let all = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let all = all.filter(|definition| !NATIVE.contains(&definition.name));
        let all = all
            .map(|jaqs| ours.iter().find(|ours| ours.name == jaqs.name).cloned().unwrap_or(jaqs));
        all.map(|Def { name, args, body }| Def { name, args, body: metered(body) }).collect()
    })
}

/// Collects the names of all functions that a term calls, directly or through the definitions.
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

/// The texts of `error("…")` in a term.
fn raised(term: &Term<'_>, texts: &mut Vec<String>) {
    if let Tree::Call("error", arguments) = term {
        texts.extend(arguments.iter().filter_map(literal));
    }
    children(term).into_iter().for_each(|child| raised(child, texts));
}

impl Program {
    /// Compiles a term that was checked.
    pub(super) fn compile(term: Term<'_>) -> Result<Self, Mistake> {
        let mut names = BTreeSet::new();
        let mut texts = Vec::new();
        raised(&term, &mut texts);
        let body = metered(term);
        called(&body, &mut names);
        let used =
            definitions().iter().filter(|definition| names.contains(definition.name)).cloned();
        let main = Def { name: MAIN, args: Vec::new(), body };
        let arena = Arena::default();
        let modules = Loader::new(used.chain([main])).load(&arena, File { code: MAIN, path: () });
        let modules = modules.map_err(|_| wrong("the expression cannot be loaded"))?;
        // No function that reads the clock, the environment or input is compiled in.
        let functions = jaq_core::funs()
            .chain(jaq_std::base_funs())
            .chain(jaq_std::extra_funs())
            .chain(jaq_json::funs());
        let functions = functions.filter(|(name, ..)| is_pure(name));
        let compiled = Compiler::default()
            .with_funs(natives::functions().into_iter().chain(functions))
            .compile(modules);
        compiled.map(|filter| Self { filter, raised: texts }).map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            wrong(&first.map_or_else(String::new, |(name, kind)| {
                format!("there is no {} `{name}`", kind.as_str())
            }))
        })
    }

    /// Runs the program; it must give exactly one value.
    pub(super) fn run(&self, root: Val) -> Result<Val, Failure> {
        let budget = Budget::new();
        // A guard against faults in jaq: a fault in one flow must not end the body.
        let result = catch_unwind(AssertUnwindSafe(|| self.run_metered(root, &budget)));
        result
            .unwrap_or_else(|_| Err(Failure::plain("the expression engine failed on these values")))
    }

    fn run_metered(&self, root: Val, budget: &Budget) -> Result<Val, Failure> {
        let meter = Meter { program: &self.filter.lut, budget };
        let mut values = self.filter.id.run((Ctx::<Metered>::new(meter, Vars::new([])), root));
        let failure = |error| Failure::of_jaq(error, &self.raised);
        let mut next = || {
            let value = values.next()?;
            // A value that is no error is a `break`, and has its `label` within the expression.
            Some(value.map_err(|error| {
                error.get_err().map_or_else(|_| Failure::plain("it breaks off"), failure)
            }))
        };
        let first = next();
        let second = if matches!(first, Some(Ok(_))) { next() } else { None };
        if budget.is_spent() {
            return Err(Failure::plain(natives::SPENT));
        }
        match (first, second) {
            (None, _) => Err(Failure::plain(
                "it gives no value; write `… // null` for one that may be missing",
            )),
            (Some(Err(failure)), _) | (_, Some(Err(failure))) => Err(failure),
            (Some(Ok(_)), Some(Ok(_))) => {
                Err(Failure::plain("it gives more than one value; write `[…]` for a list"))
            }
            (Some(Ok(value)), None) => natives::check_size(&value).map(|()| value).map_err(failure),
        }
    }
}

/// True if a function of jaq is in [`FUNCTIONS`] or is used by their definitions. Not `fromjson`:
/// this crate replaces it.
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
        "path",
        "split_",
        "split_matches",
        "unescape_html",
    ];
    name != "fromjson"
        && (INNER.contains(&name) || FUNCTIONS.iter().any(|(function, _)| *function == name))
}

fn wrong(message: &str) -> Mistake {
    Mistake::new("flow-syntax", message)
}
