//! As much of Gherkin as flagd's testbed is written in: scenarios, outlines with
//! examples, a background, tags, and steps with tables.

use std::collections::{BTreeMap, BTreeSet};

/// A scenario as it is to be run: of an outline, one for each example.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: String,
    /// Its own, its example's and its feature's, without the `@`.
    pub tags: BTreeSet<String>,
    /// Those of the background first.
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Without `Given` and the like.
    pub text: String,
    /// Rows below the first, by its names.
    pub table: Rows,
}

/// Rows of a table, by the names of its first.
pub type Rows = Vec<BTreeMap<String, String>>;

#[derive(Default)]
struct Outline {
    name: String,
    tags: BTreeSet<String>,
    steps: Vec<Step>,
    examples: Vec<(BTreeSet<String>, Rows)>,
}

/// Where the rows of a table belong.
enum At {
    Nothing,
    Background,
    Scenario,
    Examples,
}

/// All scenarios of a file.
pub fn parse(text: &str) -> Vec<Scenario> {
    let (mut feature_tags, mut pending) = (BTreeSet::new(), BTreeSet::new());
    let (mut background, mut outlines) = (Vec::new(), Vec::<Outline>::new());
    let (mut at, mut header) = (At::Nothing, None::<Vec<String>>);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('|') {
            row(line, &mut header, &at, &mut background, outlines.last_mut());
            continue;
        }
        header = None;
        if let Some(tags) = line.strip_prefix('@') {
            pending.extend(tags.split_whitespace().map(|tag| tag.trim_start_matches('@').to_owned()));
        } else if line.starts_with("Feature:") {
            feature_tags = std::mem::take(&mut pending);
        } else if line.starts_with("Background:") {
            at = At::Background;
        } else if let Some(name) =
            line.strip_prefix("Scenario").map(|rest| rest.trim_start_matches(" Outline"))
        {
            let name = name.trim_start_matches(':').trim().to_owned();
            outlines.push(Outline { name, tags: std::mem::take(&mut pending), ..Outline::default() });
            at = At::Scenario;
        } else if line.starts_with("Examples:") {
            let tags = std::mem::take(&mut pending);
            outlines.last_mut().expect("examples of a scenario").examples.push((tags, Vec::new()));
            at = At::Examples;
        } else {
            let words = ["Given ", "When ", "Then ", "And ", "But "];
            let step = words.iter().find_map(|word| line.strip_prefix(word));
            let text = step.unwrap_or_else(|| panic!("no Gherkin: {line}")).trim().to_owned();
            let steps = match at {
                At::Background => &mut background,
                _ => &mut outlines.last_mut().expect("a step of a scenario").steps,
            };
            steps.push(Step { text, table: Vec::new() });
        }
    }
    outlines.iter().flat_map(|outline| scenarios(outline, &background, &feature_tags)).collect()
}

fn row(
    line: &str,
    header: &mut Option<Vec<String>>,
    at: &At,
    background: &mut [Step],
    outline: Option<&mut Outline>,
) {
    let inner = line.trim_start_matches('|').trim_end_matches('|');
    let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
    let Some(names) = header else {
        *header = Some(cells);
        return;
    };
    let named = names.iter().cloned().zip(cells).collect();
    let rows = match (at, outline) {
        (At::Background, _) => background.last_mut().map(|step| &mut step.table),
        (At::Examples, Some(outline)) => outline.examples.last_mut().map(|(_, rows)| rows),
        (_, Some(outline)) => outline.steps.last_mut().map(|step| &mut step.table),
        _ => None,
    };
    rows.expect("a row belongs to something").push(named);
}

fn scenarios(outline: &Outline, background: &[Step], feature_tags: &BTreeSet<String>) -> Vec<Scenario> {
    let tags = |more: &BTreeSet<String>| feature_tags | &(&outline.tags | more);
    let with = |row: &BTreeMap<String, String>| {
        let fill = |text: &str| {
            row.iter().fold(text.to_owned(), |text, (name, cell)| text.replace(&format!("<{name}>"), cell))
        };
        let steps =
            outline.steps.iter().map(|step| Step { text: fill(&step.text), table: step.table.clone() });
        background.iter().cloned().chain(steps).collect()
    };
    if outline.examples.is_empty() {
        let steps = with(&BTreeMap::new());
        return vec![Scenario { name: outline.name.clone(), tags: tags(&BTreeSet::new()), steps }];
    }
    let rows = outline.examples.iter().flat_map(|(more, rows)| rows.iter().map(move |row| (more, row)));
    rows.map(|(more, row)| {
        let cells: Vec<_> = row.values().map(String::as_str).collect();
        let name = format!("{} [{}]", outline.name, cells.join(", "));
        Scenario { name, tags: tags(more), steps: with(row) }
    })
    .collect()
}
