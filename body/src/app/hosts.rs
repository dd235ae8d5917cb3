//! The runtimes that this program can host.

use std::sync::Arc;

use bus_nats::{Nats, open_files};
use cbs::{Namespace, NativeCell};
use host::{Host, NativeHost};
use host_sidecar::{Settings, SidecarHost, dart};
use model::CellSpec;

use crate::{code::Code, exit::Failure};

/// Hosts, one for each runtime.
#[derive(Clone)]
pub(crate) struct Hosts(Vec<Arc<dyn Host>>);

/// Creates a host for each runtime. The Rust host has these cells. Processes receive this
/// namespace, and their messages are as large as the bus takes. If files are `watched`, saved Dart
/// code serves before it is compiled to a program; otherwise a Dart cell starts only when it is
/// compiled.
///
/// # Errors
/// A linked-in cell has an invalid name, or two have the same name.
pub(crate) fn hosts(
    cells: Vec<NativeCell>,
    namespace: &Namespace,
    nats: Option<&Nats>,
    watched: bool,
) -> Result<Hosts, Failure> {
    let native = NativeHost::new(cells).map_err(|errors| {
        Failure::failed(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    let mut settings =
        Settings { files_soft: open_files::started_with(), ..Settings::new(namespace.clone()) };
    if let Some(nats) = nats {
        settings = settings.with_payload_max(nats.server().max_payload);
    }
    let dart = SidecarHost::dart(settings.clone(), dart::Builder::default());
    Ok(Hosts(vec![
        #[cfg(feature = "python")]
        Arc::new(host_python::PythonHost::new(settings.clone())),
        Arc::new(native),
        Arc::new(SidecarHost::exec(settings)),
        Arc::new(if watched { dart.with_kernels_first() } else { dart }),
    ]))
}

impl Hosts {
    pub(crate) fn all(&self) -> &[Arc<dyn Host>] {
        &self.0
    }

    /// Returns the reason why a cell cannot run here, or `None` if it can.
    pub(crate) fn unsupported(&self, spec: &CellSpec) -> Option<String> {
        match self.0.iter().find(|host| host.runtime() == spec.language()) {
            None => Some(format!("this program hosts no {}", spec.language())),
            Some(host) => host.check(spec).err().map(|error| error.to_string()),
        }
    }

    /// Returns a hash of a cell's code, or `None` for a linked-in cell.
    pub(crate) fn code(spec: &CellSpec) -> Option<String> {
        // Code that cannot be read is reported by the host that starts it.
        Some(Code::of(spec)?.and_then(|code| code.hash()).unwrap_or_default())
    }
}
