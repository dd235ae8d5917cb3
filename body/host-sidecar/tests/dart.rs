//! Dart cells become programs: with a real Dart, which `deploy/setup.sh lint` brings.

mod workshop;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use host_sidecar::dart::{Error, Form};
use testkit::{eventually, within};
use workshop::{Checked, LIMIT, Workshop, gone, output};

#[tokio::test]
async fn a_cell_is_compiled_once_and_again_when_it_changes() -> Checked {
    let shop = Workshop::new("")?;
    shop.write("cell/pubspec.yaml", "name: greet\nenvironment:\n  sdk: ^3.5.0\n")?;
    shop.write("cell/lib/words.dart", "const word = 'one';\n")?;
    let source = shop.write(
        "cell/bin/main.dart",
        "import 'package:greet/words.dart';\nvoid main() => print(word);\n",
    )?;

    let ready = within(LIMIT, "compiled", shop.builder().prepare(&source)).await?;
    assert_eq!(ready.form, Form::Program);
    assert_eq!(output(&ready).await?, "one");
    let program = ready.command.first().map(Path::new).and_then(Path::file_name);
    assert_eq!(
        program,
        Some("greet".as_ref()),
        "people who look at processes see the package's name"
    );

    // Another body, later, with another path.
    let again = shop.builder().prepare(&shop.root.path().join("cell/bin/../bin/main.dart")).await?;
    assert_eq!(again, ready);
    assert_eq!(shop.compiled(), 1);

    shop.write("cell/lib/words.dart", "const word = 'two';\n")?;
    let changed = within(LIMIT, "compiled again", shop.builder().prepare(&source)).await?;
    assert_eq!(output(&changed).await?, "two");
    assert_eq!(output(&ready).await?, "one", "the old program stays where it is");
    assert_eq!(shop.compiled(), 2);

    shop.write("cell/lib/words.dart", "const word = 'one';\n")?;
    assert_eq!(shop.builder().prepare(&source).await?, ready);
    assert_eq!(shop.compiled(), 2);
    Ok(())
}

#[tokio::test]
async fn bodies_that_compile_the_same_at_once_compile_it_once() -> Checked {
    let shop = Workshop::new("")?;
    let source = shop.write("greet.dart", "void main() => print('hello');\n")?;
    let builders = [shop.builder(), shop.builder(), shop.builder(), shop.builder()];
    let all = futures::future::join_all(builders.iter().map(|builder| builder.prepare(&source)));
    let all = within(LIMIT, "compiled", all).await;
    for ready in &all {
        assert_eq!(output(ready.as_ref().map_err(Clone::clone)?).await?, "hello");
    }
    assert_eq!(shop.compiled(), 1);
    let left =
        fs::read_dir(shop.root.path().join("cache"))?.flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".new")).collect();
    assert!(left.is_empty(), "nothing half done is left: {left:?}");
    Ok(())
}

#[tokio::test]
async fn mistakes_are_told_as_the_compiler_tells_them() -> Checked {
    let shop = Workshop::new("")?;
    let source =
        shop.write("greet.dart", "void main() {\n  int x = 'no';\n  print(nothing);\n}\n")?;
    let reported = within(LIMIT, "refused", shop.builder().prepare(&source)).await;
    let reported = reported.err().map(|error| error.to_string()).unwrap_or_default();
    for part in [
        "does not compile:\n",
        "greet.dart:2:11: Error: ",
        "greet.dart:3:9: Error: ",
        "print(nothing);",
    ] {
        assert!(reported.contains(part), "{part} in: {reported}");
    }
    shop.write("greet.dart", "import 'package:absent/absent.dart';\nvoid main() {}\n")?;
    let reported = within(LIMIT, "refused", shop.builder().prepare(&source)).await;
    let reported = reported.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        reported.contains("\nhint: a file without a pubspec.yaml in a folder above it can import only `package:cbs`"),
        "{reported}"
    );
    shop.write("greet.dart", "void hello() {}\n")?;
    let reported = within(LIMIT, "refused", shop.builder().prepare(&source)).await;
    let reported = reported.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(reported.contains("greet.dart: it has no `main`"), "{reported}");
    Ok(())
}

#[tokio::test]
async fn no_registry_is_asked_for_what_a_pubspec_names() -> Checked {
    let registry = std::net::TcpListener::bind("127.0.0.1:0")?;
    registry.set_nonblocking(true)?;
    let shop = Workshop::new(&format!("export PUB_HOSTED_URL=http://{}", registry.local_addr()?))?;
    let pubspec = "name: greet\nenvironment:\n  sdk: ^3.5.0\ndependencies:\n  cbs: ^0.1.0\n  absent_from_the_house: ^1.0.0\n";
    shop.write("cell/pubspec.yaml", pubspec)?;
    let source =
        shop.write("cell/bin/main.dart", "void main(List<String> words) => print('offline');\n")?;
    let ready = within(LIMIT, "compiled", shop.builder().prepare(&source)).await?;
    assert_eq!(output(&ready).await?, "offline");
    let asked = registry.accept().map_err(|error| error.kind());
    assert!(matches!(asked, Err(std::io::ErrorKind::WouldBlock)), "{asked:?}");
    assert!(
        !shop.root.path().join("cell/.dart_tool").exists(),
        "and the cell's folder is left as it is"
    );
    Ok(())
}

#[tokio::test]
async fn package_cbs_is_the_one_that_is_built_in() -> Checked {
    let shop = Workshop::new("")?;
    shop.write("elsewhere/lib/cbs.dart", "const wrong = this_is_no_dart;\n")?;
    shop.write("near/lib/near.dart", "const near = 'near';\n")?;
    shop.write("cell/pubspec.yaml", "name: greet\ndependencies: {cbs: any, near: any}\n")?;
    let packages = r#"{"configVersion": 2, "packages": [
        {"name": "cbs", "rootUri": "../../elsewhere", "packageUri": "lib/", "languageVersion": "3.5"},
        {"name": "near", "rootUri": "../../near", "packageUri": "lib/", "languageVersion": "3.5"},
        {"name": "greet", "rootUri": "../", "packageUri": "lib/", "languageVersion": "3.5"}]}"#;
    shop.write("cell/.dart_tool/package_config.json", packages)?;
    let text = "import 'package:cbs/cbs.dart';\nimport 'package:near/near.dart';\nvoid main() => print(near);\n";
    let source = shop.write("cell/bin/main.dart", text)?;
    let ready = within(LIMIT, "compiled", shop.builder().prepare(&source)).await?;
    assert_eq!(output(&ready).await?, "near");
    Ok(())
}

#[tokio::test]
async fn what_is_saved_while_it_is_compiled_is_compiled_too() -> Checked {
    // The first compilation reads the present text. The file changes before it ends.
    let shop = Workshop::new(
        "if [ $n = 1 ]; then \"$0\" --version >/dev/null; echo \"void main() => print('new');\" > greet.dart; fi",
    )?;
    let source = shop.write("greet.dart", "void main() => print('old');\n")?;
    let ready = within(LIMIT, "compiled", shop.builder().prepare(&source)).await?;
    assert_eq!(output(&ready).await?, "new");
    assert_eq!(shop.compiled(), 2);
    // The old text is still unknown: no program was kept under its hash.
    shop.write("greet.dart", "void main() => print('old');\n")?;
    let old = within(LIMIT, "compiled", shop.builder().prepare(&source)).await?;
    assert_eq!(output(&old).await?, "old");
    Ok(())
}

#[tokio::test]
async fn where_nothing_can_be_compiled_the_source_is_run() -> Checked {
    let shop =
        Workshop::new("[ $n = 0 ] || { echo 'no compiler for this machine' >&2; exit 64; }")?;
    shop.write("words.dart", "const word = 'run';\n")?;
    let text =
        "import 'package:cbs/cbs.dart';\nimport 'words.dart';\nvoid main() => print(word);\n";
    let source = shop.write("greet.dart", text)?;
    let ready = within(LIMIT, "prepared", shop.builder().prepare(&source)).await?;
    assert_eq!(ready.form, Form::Source);
    assert_eq!(output(&ready).await?, "run");
    Ok(())
}

#[tokio::test]
async fn a_compiler_that_hangs_is_ended_with_its_children() -> Checked {
    let shop = Workshop::new("[ $n = 0 ] || { sleep 1000 & echo $! > child; wait; }")?;
    let source = shop.write("greet.dart", "void main() {}\n")?;
    let builder = shop.builder().with_time_limit(Duration::from_millis(300));
    let reported = within(LIMIT, "ended", builder.prepare(&source)).await;
    assert_eq!(
        reported,
        Err(Error::Slow { file: fs::canonicalize(&source)?, limit: Duration::from_millis(300) })
    );
    gone(&shop).await
}

#[tokio::test]
async fn whoever_gives_up_does_not_stop_the_compiler_but_the_end_of_the_builder_does() -> Checked {
    let shop = Workshop::new(
        "[ $n = 0 ] || { echo $$ > child.part; mv child.part child; until [ -e go ]; do sleep 0.02; done; }",
    )?;
    let source = shop.write("greet.dart", "void main() => print('patience');\n")?;
    let builder = shop.builder();
    let started = || shop.root.path().join("child").is_file();
    tokio::select! {
        early = builder.prepare(&source) => return Err(format!("ended early: {early:?}").into()),
        () = eventually("the compiler runs", LIMIT, async || started()) => {}
    }
    shop.write("go", "")?;
    let ready = within(LIMIT, "compiled", builder.prepare(&source)).await?;
    assert_eq!(output(&ready).await?, "patience");
    assert_eq!(shop.compiled(), 1, "the second asking found the work of the first");

    fs::remove_file(shop.root.path().join("go"))?;
    fs::remove_file(shop.root.path().join("child"))?;
    shop.write("greet.dart", "void main() => print('other');\n")?;
    tokio::select! {
        early = builder.prepare(&source) => return Err(format!("ended early: {early:?}").into()),
        () = eventually("the compiler runs", LIMIT, async || started()) => {}
    }
    drop(builder);
    gone(&shop).await
}

/// Prints how long a save takes. It is a figure for people, not a limit.
#[tokio::test]
async fn compiling_takes_what_it_takes() -> Checked {
    let shop = Workshop::new("")?;
    let source = shop
        .write("greet.dart", "import 'package:cbs/cbs.dart';\nvoid main() => print('hello');\n")?;
    let start = Instant::now();
    let ready = within(LIMIT, "compiled", shop.builder().prepare(&source)).await?;
    let compiled = start.elapsed();
    let start = Instant::now();
    assert_eq!(shop.builder().prepare(&source).await?, ready);
    println!("compiled in {compiled:?}, found again in {:?}", start.elapsed());
    assert!(start.elapsed() < compiled, "finding is faster than compiling");
    Ok(())
}
