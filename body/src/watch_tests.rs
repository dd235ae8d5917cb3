use super::*;

/// Time longer than a change takes to be noticed, and shorter than the time between two
/// comparisons.
const WINDOW: Duration = Duration::from_secs(1);
const SPEC: &str = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.tells }\n\
    spec: { runtime: python, source: 'tells.py:tell' }\n";

#[tokio::test]
async fn who_only_reads_wakes_nobody_and_what_is_written_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("tells.yaml", SPEC);
    write("tells.py", "async def tell(): return 1");
    write("empty/data.bin", "1");
    let paths = vec![folder.path().to_owned()];
    let paths = specs::Paths { paths, schemas: None, allow_remote: false, growing: false };
    let specs = paths.load().unwrap();
    let mut watch = Watch::new(paths, &specs, None).unwrap();
    // The first look, which reads everything itself.
    assert_eq!(watch.next().await.cells().count(), 1);
    for path in ["tells.yaml", "tells.py", "empty/data.bin"] {
        std::fs::read(folder.path().join(path)).unwrap();
        folder.path().join("empty").read_dir().unwrap().for_each(drop);
    }
    assert!(tokio::time::timeout(WINDOW, watch.next()).await.is_err(), "reading is no change");
    for path in ["tells.py", "tells.yaml", "empty/new.py"] {
        write(path, if path == "tells.yaml" { SPEC } else { "async def tell(): return 2" });
        let found = tokio::time::timeout(LOOK_AGAIN, watch.next()).await;
        assert_eq!(found.expect("a change").cells().count(), 1, "{path}");
    }
}
