//! A selection: a choice of fields compiled once against a version.

use crate::blob::Blob;
use crate::directory::{Bits, Field, Target};
use crate::error::{Error, Result};
use crate::layers::Layer;
use crate::locator::Span;
use crate::record::{Extent, Packed, WALK};
use crate::sink::Piece;
use crate::text::escape;
use crate::types::{FieldType, Scalar};
use crate::version::{Described, Place, Type, Version};

/// Parts that one dotted name may have: each takes stack.
const DEEPEST: usize = 64;

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The record's key.
    Key,
    /// A field, by its place in the schema.
    Field(usize),
    /// The keys that a reference field names, as they are printed in the records.
    Printed(usize),
    /// The keys a reference names: of the child at this place.
    Keys(usize),
    /// The records a reference leads to: of the child at this place.
    Through(usize),
}

/// Where the value of an output is, in records of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The record's key.
    Key,
    /// A field of the record, or the printed keys of one, by its place in [`crate::blob::Blob::columns`].
    Field(usize),
    /// A field in a group, by the group and its place there.
    Aside(usize, usize),
    /// Nowhere: the field came later.
    Nothing,
    /// The keys a reference names: of the child at this place.
    Keys(usize),
    /// The records a reference leads to: of the child at this place.
    Through(usize),
}

/// What a value of a record looks like in JSON, where that can be told once for all records: short ways for the most frequent cases, with all
/// places resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text, or null.
    Text {
        /// Its place among the record's var values.
        order: usize,
        /// The bit that tells a null.
        null: Option<Packed>,
    },
    /// An integer in the packed bits, or null.
    Number {
        /// Where it is.
        place: Packed,
        /// What is added to it.
        base: u64,
        /// Whether it is signed.
        signed: bool,
        /// The bit that tells a null.
        null: Option<Packed>,
    },
    /// True, false or null.
    Bool {
        /// Where it is.
        place: Packed,
        /// What is added to it.
        base: u64,
        /// The bit that tells a null.
        null: Option<Packed>,
    },
    /// Any other value, or none of the record itself.
    Other,
}

impl Form {
    fn of(field: &Field) -> Self {
        let null = field.null_bit.map(|bit| Packed::new(bit, 1));
        let place = |bits: Bits| (Packed::new(bits.offset, bits.bits), bits.base.0);
        match (&field.field_type, field.bits, field.var) {
            (FieldType { list: true, .. }, ..) => Self::Other,
            (FieldType { scalar: Scalar::String | Scalar::Categorical, .. }, _, Some(var)) => {
                let order = var.order as usize;
                if order < WALK { Self::Text { order, null } } else { Self::Other }
            }
            (FieldType { scalar: scalar @ (Scalar::Int(_) | Scalar::UInt(_)), .. }, Some(bits), _) => {
                let (place, base) = place(bits);
                Self::Number { place, base, signed: scalar.is_signed(), null }
            }
            (FieldType { scalar: Scalar::Bool, .. }, Some(bits), _) => {
                let (place, base) = place(bits);
                Self::Bool { place, base, null }
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
    /// What it is.
    pub from: From,
}

/// How an output is read from the records of one layer, and begun in JSON.
#[derive(Debug, Clone)]
pub struct Step {
    /// `"name":`, with the `{` or `,` before it.
    pub json: Piece,
    /// The same with the quotation mark that opens a text.
    pub json_text: Piece,
    /// Where its value is.
    pub source: Source,
    /// What it looks like.
    pub form: Form,
}

/// A reference that is followed.
#[derive(Debug, Clone)]
pub struct Child {
    /// The place of its field in the schema.
    pub field: usize,
    /// Whether it is a list.
    pub list: bool,
    /// Where its codes are, by [`Layer`].
    pub places: [Place; 2],
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
    /// How these are read, by [`Layer`].
    pub steps: [Vec<Step>; 2],
    /// The first var values of a record, up to the last that a step of [`Form::Text`] is of, by [`Layer`].
    pub walks: [Vec<Extent>; 2],
    /// The groups that are read.
    pub groups: Vec<usize>,
    /// The references to follow.
    pub children: Vec<Child>,
}

impl Node {
    /// Compiles `paths` for the type `name`: field names, the key's name, and dotted ways through references.
    /// `None` takes every field of the type itself. Asking twice for the same is once.
    pub fn compile(version: &Version, name: &str, paths: Option<&[String]>) -> Result<Self> {
        let place = version.find(name)?;
        let mut node = Self::bare(place);
        match paths {
            Some(paths) => paths.iter().try_for_each(|path| node.add(version, path, path))?,
            None => node.add_fields(version)?,
        }
        node.finish(version);
        Ok(node)
    }

    /// Everything of the type itself: its key, then its fields.
    pub fn whole(version: &Version, place: usize) -> Result<Self> {
        let key = &version.types[place].layers.base.directory().key.field;
        let mut node = Self::bare(place);
        node.add(version, key, key)?;
        node.add_fields(version)?;
        node.finish(version);
        Ok(node)
    }

    /// The same with the keys of references read from what these lead to, also where the records have them as they print.
    pub fn unprinted(version: &Version, place: usize) -> Result<Self> {
        let mut node = Self::whole(version, place)?;
        let of_type = &version.types[place];
        for i in 0..node.outputs.len() {
            if let From::Printed(field) = node.outputs[i].from
                && let Some(target) = of_type.targets[field]
            {
                node.outputs[i].from = From::Keys(node.child(of_type, field, target));
            }
        }
        node.finish(version);
        Ok(node)
    }

    /// The records themselves, and nothing of them.
    pub fn bare(type_place: usize) -> Self {
        let (steps, walks) = Default::default();
        Self { type_place, outputs: Vec::new(), steps, walks, groups: Vec::new(), children: Vec::new() }
    }

    fn add_fields(&mut self, version: &Version) -> Result<()> {
        let fields = &version.types[self.type_place].fields;
        fields.iter().try_for_each(|field| self.add(version, &field.name, &field.name))
    }

    fn add(&mut self, version: &Version, path: &str, whole: &str) -> Result<()> {
        if path.split('.').count() > DEEPEST {
            let shown: String = whole.chars().take(80).collect();
            return Err(Error::Selection(format!("\"{shown}...\" has more than {DEEPEST} parts")));
        }
        let of_type = &version.types[self.type_place];
        let Some((name, rest)) = path.split_once('.') else {
            let from = if path == of_type.layers.base.directory().key.field {
                From::Key
            } else if let Some(i) = named(&of_type.fields, path) {
                match of_type.targets[i] {
                    None => From::Field(i),
                    Some(_) if is_printed(of_type, of_type.fields[i].id) => From::Printed(i),
                    Some(target) => From::Keys(self.child(of_type, i, target)),
                }
            } else if let Some(reference) =
                leading(&of_type.fields, path).and_then(|i| of_type.fields[i].reference.as_ref())
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
        let Some(i) = leading(&of_type.fields, name) else {
            return Err(no_way(version, self.type_place, name, rest, whole));
        };
        let target = of_type.targets[i].unwrap_or(self.type_place);
        let child = self.child(of_type, i, target);
        self.children[child].node.add(version, rest, whole)?;
        self.output(name, From::Through(child), whole)
    }

    fn child(&mut self, of_type: &Type, field: usize, target: usize) -> usize {
        self.children.iter().position(|c| c.field == field).unwrap_or_else(|| {
            let described = &of_type.fields[field];
            let places = [Layer::Base, Layer::Overlay].map(|layer| of_type.place(described.id, layer));
            self.children.push(Child { field, list: described.field_type.list, places, node: Self::bare(target) });
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
                self.outputs.push(Output { name: name.to_owned(), from });
                Ok(())
            }
        }
    }

    fn finish(&mut self, version: &Version) {
        let of_type = &version.types[self.type_place];
        self.steps = [Layer::Base, Layer::Overlay].map(|layer| {
            let outputs = self.outputs.iter().enumerate();
            outputs.map(|(i, output)| Step::new(of_type, layer, i, output)).collect()
        });
        self.walks = [Layer::Base, Layer::Overlay].map(|layer| {
            let orders = self.steps[layer as usize].iter().filter_map(|step| match step.form {
                Form::Text { order, .. } => Some(order + 1),
                _ => None,
            });
            let vars = of_type.layers.blob(layer).vars().iter();
            vars.take(orders.max().unwrap_or(0)).map(Extent::new).collect()
        });
        let of_steps = self.steps[0].iter().filter_map(|step| match step.source {
            Source::Aside(group, _) => Some(group),
            _ => None,
        });
        let of_children = self.children.iter().filter_map(|child| match child.places[0] {
            Place::Aside(group, _) => Some(group),
            _ => None,
        });
        self.groups = of_steps.chain(of_children).collect();
        self.groups.sort_unstable();
        self.groups.dedup();
        self.children.iter_mut().for_each(|child| child.node.finish(version));
    }

    /// How the outputs are read from the record at a span.
    #[inline(always)]
    pub fn steps_of(&self, span: Span) -> &[Step] {
        &self.steps[span.layer() as usize]
    }
}

impl Step {
    fn new(of_type: &Type, layer: Layer, i: usize, output: &Output) -> Self {
        let mut json = if i == 0 { b"{\"".to_vec() } else { b",\"".to_vec() };
        escape(output.name.as_bytes(), &mut json);
        json.extend_from_slice(b"\":");
        let piece = Piece::new(&json);
        json.push(b'"');
        let at = |place: Place, printed: bool| match place {
            Place::Record(at) => Source::Field(column(of_type.layers.blob(layer), at, printed)),
            Place::Aside(group, at) => Source::Aside(group, column(&of_type.layers.groups[group], at, printed)),
            Place::Nowhere => Source::Nothing,
        };
        let source = match output.from {
            From::Key => Source::Key,
            From::Field(field) => at(of_type.place(of_type.fields[field].id, layer), false),
            From::Printed(field) => at(of_type.place(of_type.fields[field].id, layer), true),
            From::Keys(child) => Source::Keys(child),
            From::Through(child) => Source::Through(child),
        };
        let form = match source {
            Source::Field(at) => Form::of(&of_type.layers.blob(layer).columns()[at]),
            _ => Form::Other,
        };
        Self { json: piece, json_text: Piece::new(&json), source, form }
    }
}

/// The place among the columns of a blob of a field, or of its printed keys.
fn column(blob: &Blob, field: usize, printed: bool) -> usize {
    let fields = &blob.directory().fields;
    if !printed {
        return field;
    }
    let columns = &blob.columns()[fields.len()..];
    columns.iter().position(|column| column.id == fields[field].id).map_or(field, |place| fields.len() + place)
}

/// Whether every layer that has this field has the keys that it names as they print.
fn is_printed(of_type: &Type, id: u32) -> bool {
    let held = of_type.layers.blobs().filter_map(|blob| {
        let place = blob.directory().place_of(id)?;
        Some(blob.directory().fields[place].printed.is_some())
    });
    let held: Vec<bool> = held.collect();
    !held.is_empty() && held.into_iter().all(|printed| printed)
}

/// The place of the field that is selected by this name.
fn named(fields: &[Described], name: &str) -> Option<usize> {
    let own = fields.iter().position(|field| field.name == name);
    own.or_else(|| fields.iter().position(|field| field.aliases.iter().any(|alias| alias == name)))
}

/// The place of the field whose reference is followed by this name.
fn leading(fields: &[Described], name: &str) -> Option<usize> {
    let by = |fits: &dyn Fn(&Target) -> bool| fields.iter().position(|f| f.reference.as_ref().is_some_and(fits));
    by(&|reference| reference.name == name).or_else(|| by(&|r| r.aliases.iter().any(|alias| alias == name)))
}

/// Why a dotted way does not go on from `name`, the part before `rest` at the end of `whole`.
fn no_way(version: &Version, place: usize, name: &str, rest: &str, whole: &str) -> Error {
    let of_type = &version.types[place];
    let key = &of_type.layers.base.directory().key.field;
    let before = &whole[..whole.len() - name.len() - 1 - rest.len()];
    let field = named(&of_type.fields, name).map(|i| &of_type.fields[i]);
    let why = match field {
        Some(Described { reference: Some(reference), .. }) => {
            let way = format!("{before}{}.{rest}", reference.name);
            format!("is a column, not a reference; go through its reference: {way:?}")
        }
        Some(field) => format!("is {} and has no fields; select {:?}", field.field_type, format!("{before}{name}")),
        None if name == key => {
            format!("is the key and has no fields; select {:?}", format!("{before}{name}"))
        }
        None => return unknown(version, place, name, whole),
    };
    Error::Selection(format!("{whole:?}: {name:?} of type {:?} {why}", of_type.name))
}

fn unknown(version: &Version, place: usize, name: &str, whole: &str) -> Error {
    let of_type = &version.types[place];
    let mut names: Vec<&str> = vec![&of_type.layers.base.directory().key.field];
    names.extend(of_type.fields.iter().map(|f| f.name.as_str()));
    let ways: Vec<String> = of_type
        .fields
        .iter()
        .filter_map(|f| f.reference.as_ref())
        .map(|r| format!("{}.<field of {}>", r.name, r.type_name))
        .collect();
    names.extend(ways.iter().map(String::as_str));
    Error::Selection(format!("{whole:?}: type {:?} has no {name:?}; it has {}", of_type.name, names.join(", ")))
}
