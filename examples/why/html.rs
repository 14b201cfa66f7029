//! One page with everything about a namespace, for a bug report; it loads nothing from elsewhere.

use std::fmt::Write as _;

use nftmesh::Escaped;
use nftmesh::sim::Walk;

use super::common::say::escaped;
use super::namespace::Namespace;

pub(crate) fn page(
    namespace: &Namespace,
    answer: &str,
    walk: Option<&Walk>,
    seen: Option<&str>,
    picture: &str,
) -> String {
    let place =
        namespace.path.as_ref().map_or("the current namespace".to_owned(), |path| Escaped::new(path).to_string());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut page = String::from(HEAD);
    let _ = write!(
        page,
        "<h1>Packets in {}</h1>\n<p>Linux {}, nftmesh {}</p>\n",
        html(&place),
        html(kernel.trim()),
        env!("CARGO_PKG_VERSION")
    );
    let walked = walk.map(ToString::to_string);
    let host = format!("{:#?}", namespace.host);
    let rules = namespace.ruleset.to_string();
    section(&mut page, "Answer, and whose chains these are", Some(answer), true);
    let _ = write!(page, "<h2>Picture</h2>\n{picture}\n");
    section(&mut page, "Walk", walked.as_deref(), false);
    section(&mut page, "Walk and trace", seen, true);
    section(&mut page, "Rules", Some(&rules), false);
    section(&mut page, "Addresses, routes and switches", Some(&host), false);
    page.push_str("</body></html>\n");
    page
}

fn section(page: &mut String, title: &str, text: Option<&str>, open: bool) {
    let Some(text) = text else { return };
    let text: String = text.split_inclusive('\n').map(escaped).collect();
    let open = if open { " open" } else { "" };
    let _ = writeln!(page, "<details{open}><summary>{}</summary><pre>{}</pre></details>", html(title), html(&text));
}

/// Escapes a text for HTML and SVG.
pub(crate) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<title>Packets and rules</title>
<style>body{font-family:sans-serif;margin:2em;max-width:80em}pre{background:#f4f4f4;padding:1em;overflow:auto}
summary{font-size:1.2em;margin:.6em 0;cursor:pointer}svg{max-width:100%;height:auto}</style></head><body>
";
