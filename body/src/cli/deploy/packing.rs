//! Packing of specs: they are read, checked and packed before anything is changed.

use cbs::Target;

use crate::{exit::Failure, fleet::Artifact, output, specs};

/// Reads, checks and packs all specs. Every mistake is reported, and nothing has been changed.
pub(super) fn artifacts(paths: &specs::Paths) -> Result<Vec<Artifact>, Failure> {
    let specs = paths.load().map_err(|error| specs::failure(&error))?;
    specs::tell_notes(specs.notes());
    let cells = specs.cells().map(|spec| {
        let artifact = check_code(spec).and_then(|()| Artifact::of_cell(spec));
        (&spec.metadata, Target::from(spec.name.clone()), artifact)
    });
    let flows = specs
        .flows()
        .map(|spec| (&spec.metadata, Target::from(spec.name.clone()), Artifact::of_flow(spec)));
    let mut artifacts = Vec::new();
    let mut wrong = 0;
    for (metadata, target, artifact) in cells.chain(flows) {
        match artifact {
            Ok(artifact) => artifacts.push(artifact),
            Err(error) => {
                wrong += 1;
                output::report(format_args!(
                    "{}:{}: {target}: {error:#}",
                    metadata.file.display(),
                    metadata.line
                ));
            }
        }
    }
    if wrong > 0 {
        let specs = output::count(wrong, "spec", "specs");
        return Err(Failure::failed(format_args!(
            "{specs} cannot be deployed; nothing was changed"
        )));
    }
    Ok(artifacts)
}

/// Checks a cell's code as far as that is possible without running it.
#[cfg(feature = "python")]
fn check_code(spec: &model::CellSpec) -> anyhow::Result<()> {
    let model::Runtime::Python(python) = &spec.runtime else { return Ok(()) };
    host_python::check_source(&python.file, &python.function, &spec.name)
        .map_err(anyhow::Error::msg)
}

/// Does nothing: this program hosts no Python, so it cannot read any.
#[cfg(not(feature = "python"))]
fn check_code(_: &model::CellSpec) -> anyhow::Result<()> {
    Ok(())
}
