//! The hooks in the kernel's order, their chains and rules with counters, and the packet's way
//! through them, as SVG.

use std::fmt::Write as _;

use nftmesh::model::{Chain, ChainId, Hook, Statement, Table, Verdict};
use nftmesh::sim::{Step, Walk};

use super::html::html;
use super::namespace::{HOOKS, Namespace, cut, matched};
use super::owner::Owner;

/// Draws it. Only rules that a packet can meet at a hook are shown, and of a long chain only the
/// first ones and those on the packet's way.
pub(crate) fn draw(namespace: &Namespace, walk: Option<&Walk>) -> String {
    let mut sheet = Sheet { body: String::new(), y: TOP, way: Vec::new(), visits: visits(walk) };
    let title = walk.map_or("chains and rules".to_owned(), |walk| walk.packet.to_string());
    // First those of the packet's way, in its order.
    let visited = sheet.visits.hooks.clone();
    let rest = HOOKS.into_iter().filter(|hook| !visited.contains(hook));
    for hook in visited.iter().copied().chain(rest) {
        let chains = namespace.chains_at(hook);
        let passes = visited.contains(&hook);
        if chains.is_empty() && !passes {
            continue;
        }
        let color = if passes { ACCENT } else { GREY };
        sheet.text(MARGIN, 17, color, "bold", &hook.to_string());
        sheet.y += 12;
        for (id, base) in chains {
            let Some(table) = namespace.ruleset.tables.iter().find(|table| table.id() == id.table) else { continue };
            let owner = Owner::of(&id, &namespace.ruleset);
            let about = format!("{} priority {}, {owner}", base.chain_type.name(), base.priority.0);
            for (depth, chain) in reachable(table, &id) {
                let about = if depth == 0 { about.as_str() } else { "" };
                sheet.chain(table, chain, &hook.to_string(), depth, about);
            }
        }
        sheet.y += 14;
    }
    let end = walk.map(|walk| walk.end.to_string());
    if let Some(end) = &end {
        sheet.text(MARGIN, 17, ACCENT, "bold", end);
    }
    sheet.finish(&title)
}

/// Which rules matched, in order.
#[derive(Default)]
struct Visits {
    hooks: Vec<Hook>,
    /// The hook, the chain and the number of the rule.
    rules: Vec<(String, ChainId, usize)>,
}

fn visits(walk: Option<&Walk>) -> Visits {
    let mut visits = Visits::default();
    for step in walk.iter().flat_map(|walk| &walk.steps) {
        match step {
            Step::Hook { hook, .. } if !visits.hooks.contains(hook) => visits.hooks.push(*hook),
            Step::Rule { hook, rule, .. } if matched(step) => {
                visits.rules.push((hook.to_string(), rule.chain.clone(), rule.number));
            }
            _ => {}
        }
    }
    visits
}

/// Returns a base chain and the chains that its rules lead to, each once, below the one that leads
/// there first.
fn reachable<'t>(table: &'t Table, id: &ChainId) -> Vec<(usize, &'t Chain)> {
    let by_name = |name: &str| table.chains.iter().find(|chain| chain.name.as_str() == name);
    let mut found: Vec<(usize, &Chain)> = Vec::new();
    let mut next: Vec<(usize, &Chain)> = by_name(id.name.as_str()).map(|chain| (0, chain)).into_iter().collect();
    while let Some((depth, chain)) = next.pop() {
        if found.iter().any(|(_, known)| known.name == chain.name) {
            continue;
        }
        found.push((depth, chain));
        let mut targets = Vec::new();
        for statement in chain.rules.iter().flat_map(|rule| &rule.statements) {
            if let Statement::Verdict(Verdict::Goto(name) | Verdict::Jump(name)) = statement {
                targets.extend(by_name(name.as_str()).map(|chain| (depth + 1, chain)));
            }
        }
        next.extend(targets.into_iter().rev());
    }
    found
}

struct Sheet {
    body: String,
    y: u32,
    /// The points of the packet's way, with the number of the step.
    way: Vec<(usize, u32, u32)>,
    visits: Visits,
}

impl Sheet {
    fn chain(&mut self, table: &Table, chain: &Chain, hook: &str, depth: usize, about: &str) {
        let x = LEFT + 28 * u32::try_from(depth.min(6)).unwrap_or(6);
        let id = table.id().chain(&chain.name);
        let steps = |visits: &Visits, number: usize| -> Vec<usize> {
            let here =
                |(_, visit): &(usize, &(String, ChainId, usize))| visit.0 == hook && visit.1 == id && visit.2 == number;
            visits.rules.iter().enumerate().filter(here).map(|(index, _)| index + 1).collect()
        };
        let shown: Vec<usize> = (1..=chain.rules.len())
            .filter(|number| *number <= MOST_RULES || !steps(&self.visits, *number).is_empty())
            .collect();
        let hidden = chain.rules.len() - shown.len();
        let rows = u32::try_from(shown.len() + usize::from(hidden > 0)).unwrap_or(u32::MAX);
        let height = HEADING + rows * ROW + 6;
        let _ = writeln!(
            self.body,
            "<rect x=\"{x}\" y=\"{}\" width=\"{}\" height=\"{height}\" rx=\"5\" fill=\"#fff\" stroke=\"#b6bcc6\"/>",
            self.y,
            WIDTH - x - MARGIN
        );
        self.y += HEADING - 6;
        let name = if about.is_empty() { format!("{}", chain.name) } else { format!("{id}  ({about})") };
        self.text(x + 10, 13, "#222", "bold", &name);
        for number in shown {
            let Some(rule) = chain.rules.get(number - 1) else { continue };
            self.y += ROW;
            let steps = steps(&self.visits, number);
            if !steps.is_empty() {
                let _ = writeln!(
                    self.body,
                    "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{ROW}\" fill=\"#dcebff\"/>",
                    x + 2,
                    self.y - 13,
                    WIDTH - x - MARGIN - 4
                );
                self.way.extend(steps.iter().map(|step| (*step, x + 12, self.y - 4)));
            }
            let mut plain = rule.clone();
            plain.statements.retain(|statement| !matches!(statement, Statement::Counter { .. }));
            let line = nftmesh::model::Rule::to_string(&plain);
            let room = usize::try_from((WIDTH - x - MARGIN - 160) / 7).unwrap_or(80);
            let weight = if steps.is_empty() { "normal" } else { "bold" };
            self.text(x + 30, 12, "#222", weight, &cut(&line, room));
            let counted = rule.statements.iter().find_map(|statement| match statement {
                Statement::Counter { packets, bytes } => Some(format!("{packets} packets, {bytes} bytes")),
                _ => None,
            });
            if let Some(counted) = counted {
                let _ = writeln!(
                    self.body,
                    "<text x=\"{}\" y=\"{}\" font-size=\"11\" fill=\"{GREY}\" text-anchor=\"end\">{counted}</text>",
                    WIDTH - MARGIN - 8,
                    self.y
                );
            }
        }
        if hidden > 0 {
            self.y += ROW;
            self.text(x + 30, 12, GREY, "normal", &format!("and {hidden} more rules"));
        }
        self.y += 26;
    }

    fn text(&mut self, x: u32, size: u32, color: &str, weight: &str, text: &str) {
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{}\" font-size=\"{size}\" fill=\"{color}\" font-weight=\"{weight}\">{}</text>",
            self.y,
            html(text)
        );
    }

    fn finish(mut self, title: &str) -> String {
        let height = self.y + MARGIN;
        self.way.sort_unstable();
        let points: Vec<String> = self.way.iter().map(|(_, x, y)| format!("{x},{y}")).collect();
        let mut marks = String::new();
        if points.len() > 1 {
            let _ = writeln!(
                marks,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{ACCENT}\" stroke-width=\"2\" stroke-opacity=\"0.5\"/>",
                points.join(" ")
            );
        }
        for (step, x, y) in &self.way {
            let _ = writeln!(
                marks,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"8\" fill=\"{ACCENT}\"/><text x=\"{x}\" y=\"{}\" font-size=\"10\" fill=\"#fff\" \
                 text-anchor=\"middle\">{step}</text>",
                y + 4
            );
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             font-family=\"sans-serif\">\n<title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#f6f7f9\"/>\n\
             <text x=\"{MARGIN}\" y=\"30\" font-size=\"18\" font-weight=\"bold\" fill=\"#222\">{title}</text>\n{}{marks}</svg>\n",
            self.body,
            title = html(title),
        )
    }
}

const WIDTH: u32 = 1180;
const MARGIN: u32 = 20;
const LEFT: u32 = 36;
const TOP: u32 = 64;
const HEADING: u32 = 24;
const ROW: u32 = 18;
const MOST_RULES: usize = 12;
const ACCENT: &str = "#1f6feb";
const GREY: &str = "#7a828e";
