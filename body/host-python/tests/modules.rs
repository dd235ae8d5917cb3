//! Modules of cells are separate, and their errors are reported with file and line.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use serde_json::json;
use support::Body;

#[tokio::test]
async fn two_cells_with_different_helpers_beside_them_do_not_meet() {
    let body = Body::new();
    for organ in ["red", "blue"] {
        body.file(
            &format!("{organ}/helper.py"),
            &format!("import inner.deep\nWHO = '{organ} ' + inner.deep.WHAT\n"),
        );
        body.file(&format!("{organ}/inner/__init__.py"), "");
        body.file(&format!("{organ}/inner/deep.py"), &format!("WHAT = 'deep {organ}'\n"));
        let text = "
import helper, sys, json
from inner import deep
from inner.deep import WHAT
from helper import WHO as AGAIN
def late():
    import helper as other
    return other.WHO
async def run(input):
    assert helper.WHO == AGAIN == late() and deep.WHAT == WHAT, AGAIN
    assert not {'helper', 'inner', 'cell'} & set(sys.modules)
    return json.dumps(helper.WHO)
";
        body.file(&format!("{organ}/cell.py"), text);
    }
    let _red = body.start("red.cell", "red/cell.py:run", "").await;
    let _blue = body.start("blue.cell", "blue/cell.py:run", "").await;
    for organ in ["red", "blue", "red"] {
        let who = body.call(&format!("{organ}.cell"), json!(null)).await;
        assert_eq!(who, Ok(json!(format!("\"{organ} deep {organ}\""))), "{}", body.log.text());
    }
}

#[tokio::test]
async fn files_beside_a_cell_are_read_as_resources() {
    let body = Body::new();
    body.file("beside.txt", "beside");
    body.file("words/__init__.py", "");
    body.file("words/all.txt", "all");
    let text = "
import importlib.resources, json, pkgutil
import words
async def run(input):
    read = lambda package, name: importlib.resources.files(package).joinpath(name).read_text()
    found = [read(words, 'all.txt'), read(__package__, 'beside.txt')]
    return json.dumps([*found, pkgutil.get_data(words.__name__, 'all.txt').decode()])
";
    body.file("cell.py", text);
    let _cell = body.start("demo.cell", "cell.py:run", "").await;
    assert_eq!(
        body.call("demo.cell", json!(null)).await,
        Ok(json!("[\"all\", \"beside\", \"all\"]"))
    );
}

#[tokio::test]
async fn two_versions_of_a_file_live_side_by_side() {
    let body = Body::new();
    body.file("cell.py", "async def run(input):\n    return 1\n");
    let _one = body.start("demo.one", "cell.py:run", "").await;
    body.file("cell.py", "async def run(input):\n    return 2\n");
    let _two = body.start("demo.two", "cell.py:run", "").await;
    assert_eq!(body.call("demo.one", json!(null)).await, Ok(json!(1)));
    assert_eq!(body.call("demo.two", json!(null)).await, Ok(json!(2)));
}

#[tokio::test]
async fn a_cell_that_is_started_again_has_its_file_as_it_is_now() {
    let body = Body::new();
    for version in 0..20 {
        // As long as before and within one second: a .pyc would serve the old one.
        body.file("helper.py", &format!("VERSION = {}\n", version % 10));
        let text = format!(
            "import helper\nasync def run(input):\n    return [{}, helper.VERSION]\n",
            version % 10
        );
        let running = body.cell(&text, "").await;
        assert_eq!(
            body.call("demo.cell", json!(null)).await,
            Ok(json!([version % 10, version % 10]))
        );
        running.stop().await;
    }
}

#[tokio::test]
async fn relative_imports_and_types_by_name_work() {
    let body = Body::new();
    body.file(
        "names.py",
        "from dataclasses import dataclass\n@dataclass\nclass Name:\n    name: str\n",
    );
    let text = "
from __future__ import annotations
from .names import Name
from . import names
import importlib, pickle
async def run(input: Name) -> str:
    assert importlib.import_module('.names', __package__) is names
    return pickle.loads(pickle.dumps(input)).name
";
    let _running = body.cell(text, "").await;
    assert_eq!(
        body.call("demo.cell", json!({"name": "Ada"})).await,
        Ok(json!("Ada")),
        "{}",
        body.log.text()
    );
}

#[tokio::test]
async fn the_sdk_that_is_built_in_wins() {
    let body = Body::new();
    body.file("cbs.py", "raise RuntimeError('the wrong one')\n");
    let _running =
        body.cell("import cbs\nasync def run(input):\n    return cbs.__file__\n", "").await;
    let answer = body.call("demo.cell", json!(null)).await;
    assert_eq!(answer, Ok(json!("<cbs>/cbs/__init__.py")), "{}", body.log.text());
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said_with_its_line() {
    let body = Body::new();
    for (text, parts) in [
        ("async def run(input)\n    pass\n", &["cell.py:1", "expected ':'"][..]),
        (
            "import json\nimport no_such_module\nasync def run(input):\n    pass\n",
            &["cell.py:2", "no_such_module"],
        ),
        ("x = 1 / 0\nasync def run(input):\n    pass\n", &["cell.py:1", "ZeroDivisionError"]),
        ("async def other(input):\n    pass\n", &["cell.py", "run"]),
        ("async def run(one, two):\n    pass\n", &["cell.py:1", "one input"]),
        ("async def run(*inputs):\n    pass\n", &["cell.py:1"]),
        ("async def run(input):\n    yield 1\n", &["cell.py:1", "yield"]),
        ("import sys\nsys.exit(3)\nasync def run(input):\n    pass\n", &["SystemExit"]),
        ("run = 5\n", &["no function"]),
        (
            "import cbs\n@cbs.cell('demo.other')\nasync def run(input):\n    pass\n",
            &["cell.py:", "demo.other", "demo.cell"],
        ),
        (
            "import cbs\n@cbs.cell('No Name')\nasync def run(input):\n    pass\n",
            &["cell.py:", "No Name"],
        ),
    ] {
        let reason = body.refused(text).await;
        for part in parts {
            assert!(reason.contains(part), "`{part}` is not in `{reason}`, of:\n{text}");
        }
    }
}

#[tokio::test]
async fn a_traceback_shows_the_cells_own_lines() {
    let body = Body::new();
    body.file("helper.py", "def divide(by):\n    return 1 / by  # here it breaks\n");
    let _running = body
        .cell("import helper\nasync def run(input: int):\n    return helper.divide(input)  # from here\n", "")
        .await;
    let error = body.call("demo.cell", json!(0)).await.unwrap_err();
    assert_eq!(error.code(), &cbs::Code::CellFailed);
    assert!(!error.to_string().contains("division"), "{error}");
    let log = body.log.text();
    for part in [
        "ZeroDivisionError: division by zero",
        "cell.py\", line 3",
        "# from here",
        "helper.py\", line 2",
        "# here it breaks",
    ] {
        assert!(log.contains(part), "`{part}` is not in:\n{log}");
    }
    assert!(!log.contains("_body.py"), "{log}");
}

#[tokio::test]
async fn the_check_runs_nothing_and_sees_what_can_be_seen() {
    let body = Body::new();
    body.file("ran", "");
    body.file("sound.py", "from . import cell\nYES = 1\n");
    body.file("broken.py", "def (:\n");
    body.file("deep/__init__.py", "");
    body.file("deep/up.py", "from ..sound import YES\nfrom ... import cell\n");
    let run = "open(__file__ + '.ran', 'w')\n";
    for (text, parts) in [
        ("async def run(input)\n    pass\n", &["cell.py:2", "expected ':'"][..]),
        (
            "async def rum(input):\n    pass\n",
            &["cell.py", "no function `run`", "did you mean `rum`?"],
        ),
        ("async def run(one, two):\n    pass\n", &["cell.py:2", "one input", "`one`, `two`"]),
        ("def run(**inputs):\n    pass\n", &["cell.py:2", "**inputs"]),
        (
            "import cbs\n@cbs.cell('demo.other')\nasync def run(input):\n    pass\n",
            &["cell.py:3", "demo.other", "demo.cell"],
        ),
        (
            "from .. import top\ndef run():\n    pass\n",
            &["cell.py:2", "`from .. import` leads above the folder"],
        ),
        (
            "def run():\n    from ..top import it\n",
            &["cell.py:3", "`from ..top import` leads above the folder"],
        ),
        ("from .nothing import it\ndef run():\n    pass\n", &["cell.py:2", "no module `.nothing`"]),
        ("from . import nothing\ndef run():\n    pass\n", &["cell.py:2", "no `nothing` to import"]),
        ("import broken\ndef run():\n    pass\n", &["broken.py:1", "SyntaxError"]),
        (
            "from deep.up import it\ndef run():\n    pass\n",
            &["up.py:2", "`from ... import` leads above the folder"],
        ),
    ] {
        for fields in ["", "isolation: process"] {
            let error = body.checked(&format!("{run}{text}"), fields).expect_err(text);
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in `{error}`");
            }
        }
    }
    for text in [
        "async def run(ctx, input):\n    pass\n",
        "import cbs\n@cbs.cell('demo.cell')\ndef run(input: int, context: cbs.Context) -> int:\n    return 1\n",
        "from other import run\n",
        "run = lambda input: input\n",
        "match 1:\n    case 1:\n        async def run():\n            pass\n",
        "for each in [1]:\n    async def run():\n        pass\n",
        "def __getattr__(name):\n    return lambda: name\n",
        "try:\n    import fast\nexcept ImportError:\n    async def run():\n        pass\n",
        "from . import sound, run\nfrom .sound import YES\nimport deep\ndef run():\n    pass\n",
        "try:\n    from .. import top\nexcept ImportError:\n    top = None\ndef run():\n    pass\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..top import it\ndef run():\n    pass\n",
    ] {
        assert_eq!(body.checked(&format!("{run}{text}"), ""), Ok(()), "{text}");
    }
    assert!(!body.folder.path().join("cell.py.ran").exists(), "it ran");
    let name = "demo.cell".parse().unwrap();
    let missing = host_python::check_source(&body.folder.path().join("nowhere.py"), "run", &name)
        .unwrap_err();
    assert!(missing.contains("nowhere.py"), "{missing}");
}
