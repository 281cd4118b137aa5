//! Values without a type of their own: extensions, and what is about to be printed.

use serde::ser::{self, Serialize, Serializer};

use crate::yaml::{Kind, Node, Scalar, Value};

/// A value; mappings keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// A mapping.
    Map(Vec<(String, Tree)>),
}

impl Eq for Tree {}

impl Tree {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        match self {
            Self::Map(entries) => entries.iter().find(|(known, _)| known == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Tree> {
        match self {
            Self::Map(entries) => entries.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn entries_mut(&mut self) -> Option<&mut Vec<(String, Tree)>> {
        if let Self::Map(entries) = self { Some(entries) } else { None }
    }

    /// Whether nothing is in it.
    pub(crate) fn is_hollow(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Map(entries) => entries.is_empty(),
            Self::List(items) => items.is_empty(),
            _ => false,
        }
    }

    /// What a value serialises to.
    ///
    /// # Panics
    /// When the value's own `Serialize` fails; those of the model do not.
    pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        value.serialize(Builder).expect("the model's types serialise: string keys, no errors of their own")
    }

    /// A node as it is, mappings sorted by key as Go prints them.
    pub(crate) fn of_node(node: &Node) -> Self {
        match &node.value {
            Value::Scalar(Scalar { text, kind }) => match kind {
                Kind::Null => Self::Null,
                Kind::Bool(value) => Self::Bool(*value),
                Kind::Int(value) => Self::Int(*value),
                Kind::Float(value) => Self::Float(*value),
                Kind::Text => Self::Text(text.clone()),
            },
            Value::Sequence(items) => Self::List(items.iter().map(Self::of_node).collect()),
            Value::Mapping(entries) => {
                let mut map: Vec<_> =
                    entries.iter().map(|entry| (entry.key.clone(), Self::of_node(&entry.value))).collect();
                map.sort_by(|(left, _), (right, _)| left.cmp(right));
                Self::Map(map)
            }
        }
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

/// Builds a [`Tree`] out of whatever serialises.
struct Builder;

/// Serialisation failed: a key that is no string, or the type's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl ser::Error for Failed {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// A collection being built.
struct Items(Vec<Tree>);

/// A mapping being built.
struct Entries {
    done: Vec<(String, Tree)>,
    key: Option<String>,
}

macro_rules! numbers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<Tree, Failed> {
            i64::try_from(value).map(Tree::Int).map_err(|_| ser::Error::custom("a number is too large"))
        })*
    };
}

impl Serializer for Builder {
    type Ok = Tree;
    type Error = Failed;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = ser::Impossible<Tree, Failed>;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = ser::Impossible<Tree, Failed>;

    numbers!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);

    fn serialize_bool(self, value: bool) -> Result<Tree, Failed> {
        Ok(Tree::Bool(value))
    }

    fn serialize_f32(self, value: f32) -> Result<Tree, Failed> {
        // Through text: 0.1 must not become 0.10000000149011612.
        Ok(Tree::Float(value.to_string().parse().unwrap_or_default()))
    }

    fn serialize_f64(self, value: f64) -> Result<Tree, Failed> {
        Ok(Tree::Float(value))
    }

    fn serialize_char(self, value: char) -> Result<Tree, Failed> {
        Ok(Tree::Text(value.to_string()))
    }

    fn serialize_str(self, value: &str) -> Result<Tree, Failed> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Tree, Failed> {
        Err(ser::Error::custom("bytes have no form in YAML"))
    }

    fn serialize_none(self) -> Result<Tree, Failed> {
        Ok(Tree::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, Failed> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Tree, Failed> {
        Ok(Tree::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Tree, Failed> {
        Ok(Tree::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Tree, Failed> {
        Ok(Tree::Text(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Tree, Failed> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Tree, Failed> {
        Ok(Tree::Map(vec![(variant.to_owned(), value.serialize(self)?)]))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Failed> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items, Failed> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items, Failed> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Failed> {
        Err(ser::Error::custom("tuple variants have no form in YAML"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, Failed> {
        Ok(Entries { done: Vec::new(), key: None })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries, Failed> {
        Ok(Entries { done: Vec::new(), key: None })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Failed> {
        Err(ser::Error::custom("struct variants have no form in YAML"))
    }
}

macro_rules! items {
    ($($trait:ident: $method:ident),*) => {
        $(impl ser::$trait for Items {
            type Ok = Tree;
            type Error = Failed;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
                self.0.push(value.serialize(Builder)?);
                Ok(())
            }

            fn end(self) -> Result<Tree, Failed> {
                Ok(Tree::List(self.0))
            }
        })*
    };
}

items!(SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field);

impl ser::SerializeMap for Entries {
    type Ok = Tree;
    type Error = Failed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failed> {
        let Tree::Text(key) = key.serialize(Builder)? else {
            return Err(ser::Error::custom("a key is not a string"));
        };
        self.key = Some(key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        let key = self.key.take().unwrap_or_default();
        self.done.push((key, value.serialize(Builder)?));
        Ok(())
    }

    fn end(self) -> Result<Tree, Failed> {
        Ok(Tree::Map(self.done))
    }
}

impl ser::SerializeStruct for Entries {
    type Ok = Tree;
    type Error = Failed;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Failed> {
        self.done.push((key.to_owned(), value.serialize(Builder)?));
        Ok(())
    }

    fn end(self) -> Result<Tree, Failed> {
        Ok(Tree::Map(self.done))
    }
}
