//! The tables of a page, read as a stranger to the code that wrote it would read them.

/// A table and where it stands.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The heading of the section.
    pub(super) section: String,
    /// The heading below that; empty where there is none.
    pub(super) heading: String,
    pub(super) caption: String,
    /// The lines of its head.
    pub(super) head: Vec<Vec<Cell>>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A cell, or a head of a column.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// All that is written in it, a space between elements.
    pub(super) text: String,
    /// What is written in its element of class `value`.
    pub(super) value: String,
    pub(super) tip: String,
    pub(super) sort: Option<String>,
    pub(super) columns: usize,
    class: String,
}

impl Cell {
    pub(super) fn is(&self, class: &str) -> bool {
        self.class.split(' ').any(|own| own == class)
    }
}

/// Every table of a page, in its order.
pub(super) fn tables(page: &str) -> Vec<Table> {
    let mut reader = Reader::default();
    let mut skipped = None;
    for part in page.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        let (name, attributes) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
        match skipped {
            Some(end) if name == end => skipped = None,
            Some(_) => continue,
            None => {}
        }
        match name {
            "style" => skipped = Some("/style"),
            "script" => skipped = Some("/script"),
            "svg" => skipped = Some("/svg"),
            _ => reader.tag(name, attributes),
        }
        if skipped.is_none() {
            reader.text(&unescaped(text));
        }
    }
    reader.tables
}

#[derive(Default)]
struct Reader {
    tables: Vec<Table>,
    section: String,
    heading: String,
    caption: String,
    /// Which of these three is being read.
    title: Option<&'static str>,
    table: Option<Table>,
    in_head: bool,
    cell: Option<Cell>,
    in_value: bool,
}

impl Reader {
    fn tag(&mut self, name: &str, attributes: &str) {
        match name {
            "h2" => {
                self.section.clear();
                self.heading.clear();
                self.caption.clear();
                self.title = Some("section");
            }
            "h3" => {
                self.heading.clear();
                self.caption.clear();
                self.title = Some("heading");
            }
            "figcaption" => {
                self.caption.clear();
                self.title = Some("caption");
            }
            "/h2" | "/h3" | "/figcaption" => self.title = None,
            "table" => {
                self.table = Some(Table {
                    section: self.section.clone(),
                    heading: self.heading.clone(),
                    caption: self.caption.clone(),
                    ..Table::default()
                });
            }
            "/table" => self.tables.extend(self.table.take()),
            "thead" => self.in_head = true,
            "/thead" => self.in_head = false,
            "tr" => {
                let table = self.table.as_mut().unwrap();
                let lines = if self.in_head {
                    &mut table.head
                } else {
                    &mut table.rows
                };
                lines.push(Vec::new());
            }
            "th" | "td" => {
                let attribute = |name| attribute(attributes, name);
                self.cell = Some(Cell {
                    tip: attribute("title").unwrap_or_default(),
                    sort: attribute("data-sort"),
                    class: attribute("class").unwrap_or_default(),
                    columns: attribute("colspan").map_or(1, |n| n.parse().unwrap()),
                    ..Cell::default()
                });
            }
            "/th" | "/td" => {
                let table = self.table.as_mut().unwrap();
                let lines = if self.in_head {
                    &mut table.head
                } else {
                    &mut table.rows
                };
                let mut cell = self.cell.take().unwrap();
                cell.text = cell.text.split_whitespace().collect::<Vec<_>>().join(" ");
                lines.last_mut().unwrap().push(cell);
            }
            "span" => self.in_value = attribute(attributes, "class").as_deref() == Some("value"),
            "/span" => self.in_value = false,
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(cell) = &mut self.cell {
            cell.text.push(' ');
            cell.text.push_str(text);
            if self.in_value {
                cell.value.push_str(text);
            }
            return;
        }
        let title = match self.title {
            Some("section") => &mut self.section,
            Some("heading") => &mut self.heading,
            Some(_) => &mut self.caption,
            None => return,
        };
        title.push_str(text);
    }
}

fn attribute(attributes: &str, name: &str) -> Option<String> {
    let (_, after) = format!(" {attributes}")
        .split_once(&format!(" {name}=\""))
        .map(|(before, after)| (before.to_owned(), after.to_owned()))?;
    Some(unescaped(after.split('"').next()?))
}

/// The text behind the references that a template may write.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(';').unwrap();
        plain.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#x27" => '\'',
            "#x2f" => '/',
            other => panic!("nobody says what &{other}; is"),
        });
        plain.push_str(rest);
    }
    plain
}
