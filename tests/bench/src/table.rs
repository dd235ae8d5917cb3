//! The report as a table for people.

use std::io::{IsTerminal as _, stdout};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::report::{Line, Report, Spread, Target};

/// Width of the table if there is no terminal.
const WIDTH: u16 = 132;
/// The columns of figures, which are aligned to the right.
const FIGURES: [usize; 2] = [2, 3];

/// The table, and the notes below it.
pub(crate) fn text(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !stdout().is_terminal() {
        table.set_width(WIDTH);
    }
    table.set_header(["row", "what", "median", "least – most", "unit", "target", "reached"]);
    for column in FIGURES {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut notes: Vec<&str> = Vec::new();
    for line in &report.lines {
        let number = number(&mut notes, &line.note)
            .map_or_else(String::new, |number| format!(" [{number}]"));
        table.add_row(cells(line, &number));
    }
    let notes = notes.iter().enumerate().map(|(index, note)| format!("\n[{}] {note}", index + 1));
    let machine = &report.machine;
    let rounds = report.rounds;
    let seconds = report.seconds;
    let head = format!(
        "{machine}\n{rounds} rounds of {seconds} s a side; median, least and most of the rounds"
    );
    format!("{head}\n\n{table}{}", notes.collect::<String>())
}

fn number<'a>(notes: &mut Vec<&'a str>, note: &'a str) -> Option<usize> {
    if note.is_empty() {
        return None;
    }
    let index = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
        notes.push(note);
        notes.len() - 1
    });
    Some(index + 1)
}

fn cells(line: &Line, number: &str) -> [String; 7] {
    let (row, what) = (line.row.to_owned(), format!("{}{number}", line.what));
    let target = line.target.map(goal).unwrap_or_default();
    let Some(spread) = Spread::of(&line.rounds) else {
        let why = line.failed.as_deref().unwrap_or("no figure");
        return [
            row,
            format!("{what}: {why}"),
            "–".into(),
            "–".into(),
            line.unit.into(),
            target,
            "not measured".into(),
        ];
    };
    let reached = match (line.reached(), line.reached_aim()) {
        (Some(true), true) => "yes, the aim too",
        (Some(true), false) => "yes",
        (Some(false), _) => "no",
        (None, _) => "",
    };
    let range = format!("{} – {}", figure(spread.min), figure(spread.max));
    [row, what, figure(spread.median), range, line.unit.into(), target, reached.into()]
}

fn goal(target: Target) -> String {
    match target {
        Target::AtLeast { figure: least, aim: Some(aim) } => {
            format!("≥ {}, aim {}", figure(least), figure(aim))
        }
        Target::AtLeast { figure: least, aim: None } => format!("≥ {}", figure(least)),
        Target::AtMost { figure: most } => format!("≤ {}", figure(most)),
    }
}

/// Formats a figure with two digits after the point, or one or none if more are before it; groups
/// these in threes.
fn figure(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".to_owned(),
        size if size < 9.995 => format!("{figure:.2}"),
        size if size < 99.95 => format!("{figure:.1}"),
        _ => grouped(figure.round()),
    }
}

fn grouped(whole: f64) -> String {
    let digits = format!("{whole:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
