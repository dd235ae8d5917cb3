//! A page that is drawn again and again, and the keys of its reader.

use std::{
    io::{self, IsTerminal, Read, Write},
    os::fd::AsFd,
};

use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use tokio::sync::mpsc;

/// Opens an alternate screen, so that the former content returns later. There is no cursor, and
/// long lines are cut, not wrapped.
const OPEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const CLOSE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Moves to the top left. Each line ends with erasing the rest of it.
const HOME: &str = "\x1b[H";
const ERASE_LINE: &str = "\x1b[K\r\n";
const ERASE_BELOW: &str = "\x1b[J";

/// Meaning of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort,
    Bodies,
    Other,
}

/// The terminal while this program controls it. When this is dropped, the terminal is as before.
pub(super) struct Screen {
    /// `None` if standard output is no terminal, or one that cannot position text: then pages
    /// follow one another.
    before: Option<Option<Termios>>,
    keys: mpsc::Receiver<Key>,
}

impl Screen {
    /// Takes control of the terminal, if standard output is one.
    ///
    /// # Errors
    /// The terminal cannot be written, or no thread can be started.
    pub(super) fn open() -> io::Result<Self> {
        let (report, keys) = mpsc::channel(16);
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if is_dumb || !io::stdout().is_terminal() {
            return Ok(Self { before: None, keys });
        }
        let modes = single_keys();
        let screen = Self { before: Some(modes), keys };
        if screen.before.as_ref().is_some_and(Option::is_some) {
            // It ends with the program: nothing can end a read of a terminal.
            std::thread::Builder::new().name("cbs-keys".to_owned()).spawn(move || read(&report))?;
        }
        write(OPEN)?;
        Ok(screen)
    }

    /// Shows a page in place of the last one, as much of it as fits. Returns `false` if the reader
    /// has closed the pipe.
    pub(super) fn show(&mut self, page: &str) -> io::Result<bool> {
        if self.before.is_none() {
            return crate::output::print_on(page);
        }
        // Places stay where no colour is wanted.
        let plain = anstream::AutoStream::choice(&io::stdout()) == anstream::ColorChoice::Never;
        let page =
            if plain { anstream::adapter::strip_str(page).to_string() } else { page.to_owned() };
        let lines = page.lines().take(height());
        let text: String = lines.flat_map(|line| [line, ERASE_LINE]).collect();
        write(&format!("{HOME}{}{ERASE_BELOW}", text.trim_end_matches("\r\n")))?;
        Ok(true)
    }

    /// Waits for the next key. Never returns if there are no keys.
    pub(super) async fn key(screen: Option<&mut Self>) -> Key {
        let Some(screen) = screen else { return std::future::pending().await };
        match screen.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let Some(modes) = &self.before else { return };
        // A closed terminal cannot be restored.
        let _ = write(CLOSE);
        if let Some(modes) = modes {
            let _ = termios::tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, modes);
        }
    }
}

/// Switches the terminal to single keys without echo, and returns the former modes. Returns `None`
/// if standard input is no terminal.
fn single_keys() -> Option<Termios> {
    let stdin = io::stdin();
    let before = stdin.is_terminal().then(|| termios::tcgetattr(stdin.as_fd()).ok()).flatten()?;
    let mut modes = before.clone();
    // Signals stay: Ctrl-C ends it as ever.
    modes.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
    termios::tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &modes).ok()?;
    Some(before)
}

fn read(report: &mpsc::Sender<Key>) {
    let mut byte = [0];
    while let Ok(1) = io::stdin().read(&mut byte) {
        let key = match byte {
            [b'q' | b'Q'] => Key::Quit,
            [b's' | b'S'] => Key::Sort,
            [b'b' | b'B'] => Key::Bodies,
            _ => Key::Other,
        };
        if report.blocking_send(key).is_err() {
            return;
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// Returns the number of lines of the terminal now.
fn height() -> usize {
    terminal_size::terminal_size_of(io::stdout()).map_or(24, |(_, height)| usize::from(height.0))
}
