//! jq's functions: those that flows may call, and their use of the input.

/// The functions that expressions may call, with their number of arguments.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[(&str, &[usize])] = &[
    ("@base64", &[0]), ("@base64d", &[0]), ("@html", &[0]), ("@htmld", &[0]), ("@json", &[0]), ("@sh", &[0]),
    ("@text", &[0]), ("@uri", &[0]), ("@urid", &[0]),
    ("abs", &[0]), ("add", &[0, 1]), ("all", &[0, 1, 2]), ("any", &[0, 1, 2]), ("arrays", &[0]),
    ("ascii_downcase", &[0]), ("ascii_upcase", &[0]), ("booleans", &[0]), ("bsearch", &[1]), ("capture", &[1, 2]),
    ("ceil", &[0]), ("contains", &[1]), ("del", &[1]), ("empty", &[0]), ("endswith", &[1]), ("error", &[0, 1]),
    ("exp", &[0]), ("explode", &[0]), ("fabs", &[0]), ("false", &[0]), ("first", &[0, 1]), ("flatten", &[0, 1]),
    ("floor", &[0]), ("from_entries", &[0]), ("fromjson", &[0]), ("group_by", &[1]), ("gsub", &[2, 3]), ("has", &[1]),
    ("implode", &[0]), ("in", &[1]), ("index", &[1]), ("indices", &[1]), ("inside", &[1]), ("isarray", &[0]),
    ("isboolean", &[0]), ("isempty", &[1]), ("isfinite", &[0]), ("isinfinite", &[0]), ("isnan", &[0]),
    ("isnormal", &[0]), ("isnumber", &[0]), ("isobject", &[0]), ("isstring", &[0]), ("iterables", &[0]),
    ("join", &[1]), ("keys", &[0]), ("keys_unsorted", &[0]), ("last", &[0, 1]), ("length", &[0]), ("limit", &[2]),
    ("log", &[0]), ("log10", &[0]), ("log2", &[0]), ("ltrim", &[0]), ("ltrimstr", &[1]), ("map", &[1]),
    ("map_values", &[1]), ("match", &[1, 2]), ("max", &[0]), ("max_by", &[1]), ("min", &[0]), ("min_by", &[1]),
    ("not", &[0]), ("nth", &[1, 2]), ("null", &[0]), ("nulls", &[0]), ("numbers", &[0]), ("objects", &[0]),
    ("pow", &[2]), ("range", &[1, 2, 3]), ("reverse", &[0]), ("rindex", &[1]), ("round", &[0]), ("rtrim", &[0]),
    ("rtrimstr", &[1]), ("scalars", &[0]), ("scan", &[1, 2]), ("select", &[1]), ("skip", &[2]), ("sort", &[0]),
    ("sort_by", &[1]), ("split", &[1, 2]), ("splits", &[1, 2]), ("sqrt", &[0]), ("startswith", &[1]),
    ("strings", &[0]), ("sub", &[2, 3]), ("test", &[1, 2]), ("to_entries", &[0]), ("toboolean", &[0]),
    ("tojson", &[0]), ("tonumber", &[0]), ("tostring", &[0]), ("transpose", &[0]), ("trim", &[0]), ("true", &[0]),
    ("type", &[0]), ("unique", &[0]), ("unique_by", &[1]), ("utf8bytelength", &[0]), ("values", &[0]),
    ("with_entries", &[1]),
];

/// Functions of jq that flows refuse, with the reason.
#[rustfmt::skip]
pub(super) const REFUSED: &[(&[&str], &str)] = &[
    (&["now", "mktime", "gmtime", "localtime", "strftime", "strflocaltime", "strptime", "todate", "fromdate", "date",
       "dateadd", "datesub", "todateiso8601", "fromdateiso8601"],
     "an expression gives the same whenever it is run, so it knows no time; let a cell do this"),
    (&["input", "inputs", "input_filename", "input_line_number", "$__loc__", "get_search_list"],
     "an expression reads nothing but its roots; write `.input`"),
    (&["env", "$ENV"],
     "an expression knows no environment; give the value to a cell in its spec's `config`"),
    (&["debug", "stderr", "halt", "halt_error"],
     "an expression has no effect but its value"),
    (&["recurse", "repeat", "while", "until", "walk", "combinations", "paths", "leaf_paths", "path", "getpath", "setpath",
       "delpaths", "pick", "tostream", "fromstream", "truncate_stream"],
     "it may recurse without end; name the parts, use `map` and `select`, or let a cell do this"),
];

/// Functions that do not read their input, only their arguments.
#[rustfmt::skip]
pub(super) const BLIND: &[(&str, usize)] = &[
    ("add", 1), ("all", 2), ("any", 2), ("empty", 0), ("error", 1), ("false", 0), ("first", 1), ("isempty", 1),
    ("last", 1), ("limit", 2), ("nth", 2), ("null", 0), ("range", 1), ("range", 2), ("range", 3), ("skip", 2), ("true", 0),
];
/// Functions that run arguments on other values than their input: name, number of arguments, and
/// index of the first such argument. All arguments after it are such arguments, too.
#[rustfmt::skip]
pub(super) const INNER: &[(&str, usize, usize)] = &[
    ("all", 1, 0), ("all", 2, 1), ("any", 1, 0), ("any", 2, 1), ("group_by", 1, 0), ("gsub", 2, 1), ("gsub", 3, 1),
    ("map", 1, 0), ("map_values", 1, 0), ("max_by", 1, 0), ("min_by", 1, 0), ("sort_by", 1, 0), ("sub", 2, 1),
    ("sub", 3, 1), ("unique_by", 1, 0), ("with_entries", 1, 0),
];
