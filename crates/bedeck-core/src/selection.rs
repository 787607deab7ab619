//! A selection: a choice of fields compiled once against a version.

use crate::directory::{Bits, Field};
use crate::error::{Error, Result};
use crate::sink::Piece;
use crate::text::escape;
use crate::types::{FieldType, Scalar};
use crate::version::Version;

/// Parts that one dotted name may have: each takes stack.
const DEEPEST: usize = 64;

/// Where the value of an output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The record's key.
    Key,
    /// A field of the record, or the printed keys of one, by its place in [`crate::blob::Blob::columns`].
    Field(usize),
    /// The keys a reference names: of the child at this place.
    Keys(usize),
    /// The records a reference leads to: of the child at this place.
    Through(usize),
}

/// What a value looks like in JSON, where that can be told once for all records: short ways for the most frequent cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text, or null.
    Text,
    /// An integer in the packed bits, or null.
    Number {
        /// Where it is.
        bits: Bits,
        /// Whether it is signed.
        signed: bool,
        /// The bit that tells a null.
        null_bit: Option<u32>,
    },
    /// True, false or null.
    Bool {
        /// Where it is.
        bits: Bits,
        /// The bit that tells a null.
        null_bit: Option<u32>,
    },
    /// Any other value.
    Other,
}

impl Form {
    fn of(field: &Field) -> Self {
        match (&field.field_type, field.bits) {
            (FieldType { list: false, scalar: Scalar::String | Scalar::Categorical }, _) => Self::Text,
            (FieldType { list: false, scalar: scalar @ (Scalar::Int(_) | Scalar::UInt(_)) }, Some(bits)) => {
                Self::Number { bits, signed: scalar.is_signed(), null_bit: field.null_bit }
            }
            (FieldType { list: false, scalar: Scalar::Bool }, Some(bits)) => {
                Self::Bool { bits, null_bit: field.null_bit }
            }
            _ => Self::Other,
        }
    }
}

/// One named value of an answer.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// `"name":`, with the `{` or `,` before it.
    pub json: Piece,
    /// The same with the quotation mark that opens a text.
    pub json_text: Piece,
    /// Where its value comes from.
    pub from: From,
    /// What it looks like.
    pub form: Form,
}

/// A reference that is followed.
#[derive(Debug, Clone)]
pub struct Child {
    /// The place of its field in the directory.
    pub field: usize,
    /// Whether it is a list.
    pub list: bool,
    /// What is taken from the records it leads to.
    pub node: Node,
}

/// What is taken from the records of one type.
#[derive(Debug, Clone)]
pub struct Node {
    /// The place of the type in the version.
    pub type_place: usize,
    /// The named values, in the order they were asked for.
    pub outputs: Vec<Output>,
    /// The references to follow.
    pub children: Vec<Child>,
}

impl Node {
    /// Compiles `paths` for the type `name`: field names, the key's name, and dotted ways through references.
    /// `None` takes every field of the type itself. Asking twice for the same is once.
    pub fn compile(version: &Version, name: &str, paths: Option<&[String]>) -> Result<Self> {
        let place = version.find(name)?;
        let mut node = Self::empty(place);
        match paths {
            Some(paths) => paths.iter().try_for_each(|path| node.add(version, path, path))?,
            None => {
                let fields = &version.types[place].blob.directory().fields;
                fields.iter().try_for_each(|field| node.add(version, &field.name, &field.name))?;
            }
        }
        node.finish(version);
        Ok(node)
    }

    /// Everything of the type itself: its key, then its fields.
    pub fn whole(version: &Version, place: usize) -> Result<Self> {
        let directory = version.types[place].blob.directory();
        let mut node = Self::empty(place);
        node.add(version, &directory.key.field, &directory.key.field)?;
        directory.fields.iter().try_for_each(|field| node.add(version, &field.name, &field.name))?;
        node.finish(version);
        Ok(node)
    }

    fn empty(type_place: usize) -> Self {
        Self { type_place, outputs: Vec::new(), children: Vec::new() }
    }

    fn add(&mut self, version: &Version, path: &str, whole: &str) -> Result<()> {
        if path.split('.').count() > DEEPEST {
            let shown: String = whole.chars().take(80).collect();
            return Err(Error::Selection(format!("\"{shown}...\" has more than {DEEPEST} parts")));
        }
        let of_type = &version.types[self.type_place];
        let directory = of_type.blob.directory();
        let Some((name, rest)) = path.split_once('.') else {
            let from = if path == directory.key.field {
                From::Key
            } else if let Some(i) = directory.fields.iter().position(|f| f.name == path) {
                let fields = directory.fields.len();
                let printed = directory.fields[i].printed.and_then(|_| {
                    let columns = &of_type.blob.columns()[fields..];
                    columns.iter().position(|column| column.id == directory.fields[i].id)
                });
                match (of_type.targets[i], printed) {
                    (_, Some(place)) => From::Field(fields + place),
                    (Some(target), None) => From::Keys(self.child(i, directory.fields[i].field_type.list, target)),
                    (None, None) => From::Field(i),
                }
            } else if let Some(reference) =
                directory.fields.iter().filter_map(|f| f.reference.as_ref()).find(|r| r.name == path)
            {
                let of = &reference.type_name;
                return Err(Error::Selection(format!(
                    "{whole:?}: {path:?} of type {:?} is a reference to type {of:?}; select a field of it, as in \"{whole}.<field>\"",
                    of_type.name
                )));
            } else {
                return Err(unknown(version, self.type_place, path, whole));
            };
            return self.output(path, from, whole);
        };
        let Some(i) = directory.fields.iter().position(|f| f.reference.as_ref().is_some_and(|r| r.name == name)) else {
            return Err(no_way(version, self.type_place, name, rest, whole));
        };
        let target = of_type.targets[i].unwrap_or(self.type_place);
        let child = self.child(i, directory.fields[i].field_type.list, target);
        self.children[child].node.add(version, rest, whole)?;
        self.output(name, From::Through(child), whole)
    }

    fn child(&mut self, field: usize, list: bool, target: usize) -> usize {
        self.children.iter().position(|c| c.field == field).unwrap_or_else(|| {
            self.children.push(Child { field, list, node: Self::empty(target) });
            self.children.len() - 1
        })
    }

    fn output(&mut self, name: &str, from: From, whole: &str) -> Result<()> {
        match self.outputs.iter().find(|o| o.name == name) {
            Some(output) if output.from == from => Ok(()),
            Some(_) => Err(Error::Selection(format!(
                "{whole:?}: both the keys and the records of {name:?} are asked for under one name; give the reference a name of its own in the schema"
            ))),
            None => {
                self.outputs.push(Output {
                    name: name.to_owned(),
                    json: Piece::default(),
                    json_text: Piece::default(),
                    from,
                    form: Form::Other,
                });
                Ok(())
            }
        }
    }

    fn finish(&mut self, version: &Version) {
        let fields = version.types[self.type_place].blob.columns();
        for (i, output) in self.outputs.iter_mut().enumerate() {
            let mut json = if i == 0 { b"{\"".to_vec() } else { b",\"".to_vec() };
            escape(output.name.as_bytes(), &mut json);
            json.extend_from_slice(b"\":");
            output.json = Piece::new(&json);
            json.push(b'"');
            output.json_text = Piece::new(&json);
            if let From::Field(field) = output.from {
                output.form = Form::of(&fields[field]);
            }
        }
        self.children.iter_mut().for_each(|child| child.node.finish(version));
    }
}

/// Why a dotted way does not go on from `name`, the part before `rest` at the end of `whole`.
fn no_way(version: &Version, place: usize, name: &str, rest: &str, whole: &str) -> Error {
    let of_type = &version.types[place];
    let directory = of_type.blob.directory();
    let before = &whole[..whole.len() - name.len() - 1 - rest.len()];
    let field = directory.fields.iter().find(|f| f.name == name);
    let why = match field {
        Some(Field { reference: Some(reference), .. }) => {
            let way = format!("{before}{}.{rest}", reference.name);
            format!("is a column, not a reference; go through its reference: {way:?}")
        }
        Some(field) => format!("is {} and has no fields; select {:?}", field.field_type, format!("{before}{name}")),
        None if name == directory.key.field => {
            format!("is the key and has no fields; select {:?}", format!("{before}{name}"))
        }
        None => return unknown(version, place, name, whole),
    };
    Error::Selection(format!("{whole:?}: {name:?} of type {:?} {why}", of_type.name))
}

fn unknown(version: &Version, place: usize, name: &str, whole: &str) -> Error {
    let of_type = &version.types[place];
    let directory = of_type.blob.directory();
    let mut names: Vec<&str> = vec![&directory.key.field];
    names.extend(directory.fields.iter().map(|f| f.name.as_str()));
    let ways: Vec<String> = directory
        .fields
        .iter()
        .filter_map(|f| f.reference.as_ref())
        .map(|r| format!("{}.<field of {}>", r.name, r.type_name))
        .collect();
    names.extend(ways.iter().map(String::as_str));
    Error::Selection(format!("{whole:?}: type {:?} has no {name:?}; it has {}", of_type.name, names.join(", ")))
}
