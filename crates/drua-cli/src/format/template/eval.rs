use super::functions::{self, truth};
use super::parser::{Base, Node, Operand, Pipeline};
use super::{Methods, Mode, TemplateError};
use crate::format::Json;

pub(super) fn render(nodes: &[Node], data: &Json, mode: Mode, methods: &Methods<'_>) -> Result<String, TemplateError> {
    let mut evaluator = Evaluator { root: data, mode, methods, variables: Vec::new(), out: String::new() };
    evaluator.nodes(nodes, data)?;
    Ok(evaluator.out)
}

struct Evaluator<'a> {
    root: &'a Json,
    mode: Mode,
    methods: &'a Methods<'a>,
    variables: Vec<(String, Json)>,
    out: String,
}

impl Evaluator<'_> {
    /// Variables that a block declares end with it.
    fn nodes(&mut self, nodes: &[Node], dot: &Json) -> Result<(), TemplateError> {
        let scope = self.variables.len();
        for node in nodes {
            self.node(node, dot)?;
        }
        self.variables.truncate(scope);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Json) -> Result<(), TemplateError> {
        let scope = self.variables.len();
        match node {
            Node::Text(text) => {
                self.out.push_str(text);
                return Ok(());
            }
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.out.push_str(&value.go_string());
                }
                // A variable declared here lives on to the end of the enclosing block.
                return Ok(());
            }
            Node::If { condition, then, otherwise } => {
                let value = self.pipeline(condition, dot)?;
                self.nodes(if truth(&value) { then } else { otherwise }, dot)?;
            }
            Node::With { value, then, otherwise } => {
                let value = self.pipeline(value, dot)?;
                if truth(&value) { self.nodes(then, &value)? } else { self.nodes(otherwise, dot)? }
            }
            Node::Range { value, body, otherwise } => self.range(value, body, otherwise, dot)?,
        }
        self.variables.truncate(scope);
        Ok(())
    }

    fn range(&mut self, value: &Pipeline, body: &[Node], otherwise: &[Node], dot: &Json) -> Result<(), TemplateError> {
        let items: Vec<(Json, Json)> = match self.commands(&value.commands, dot)? {
            Json::Array(items) => items.into_iter().zip(0_i64..).map(|(item, index)| (index.into(), item)).collect(),
            Json::Object(entries) => Json::sorted_entries(&entries)
                .into_iter()
                .map(|(key, value)| (Json::from(key.as_str()), value.clone()))
                .collect(),
            Json::Null => Vec::new(),
            other @ (Json::Bool(_) | Json::Number(_) | Json::String(_)) => {
                return Err(TemplateError::new(format!("range can't iterate over {}", other.go_string())));
            }
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, item) in items {
            let scope = self.variables.len();
            match value.variables.as_slice() {
                [] => {}
                [only] => self.variables.push((only.clone(), item.clone())),
                [first, second, ..] => {
                    self.variables.push((first.clone(), key));
                    self.variables.push((second.clone(), item.clone()));
                }
            }
            self.nodes(body, &item)?;
            self.variables.truncate(scope);
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Json) -> Result<Json, TemplateError> {
        let value = self.commands(&pipeline.commands, dot)?;
        if let [name] = pipeline.variables.as_slice() {
            if pipeline.declares {
                self.variables.push((name.clone(), value.clone()));
            } else {
                let variable = self.variables.iter_mut().rev().find(|(known, _)| known == name);
                let (_, slot) = variable.ok_or_else(|| undefined(name))?;
                slot.clone_from(&value);
            }
        }
        Ok(value)
    }

    fn commands(&mut self, commands: &[Vec<Operand>], dot: &Json) -> Result<Json, TemplateError> {
        let mut piped = None;
        for command in commands {
            piped = Some(self.command(command, piped, dot)?);
        }
        piped.ok_or_else(|| TemplateError::new("missing value in an action"))
    }

    /// Evaluates a command; the result of the one before it in the pipeline is its last argument.
    fn command(&mut self, command: &[Operand], piped: Option<Json>, dot: &Json) -> Result<Json, TemplateError> {
        let [first, rest @ ..] = command else {
            return Err(TemplateError::new("missing value in an action"));
        };
        if rest.is_empty() && piped.is_none() {
            return self.operand(first, dot);
        }
        let mut args = rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        args.extend(piped);
        match (&first.base, first.fields.as_slice()) {
            (Base::Function(name), []) => functions::call(name, &args, self.mode),
            (Base::Dot, [method]) => (self.methods)(method, &args)
                .ok_or_else(|| TemplateError::new(format!("`.{method}` takes no arguments"))),
            _ => Err(TemplateError::new("only functions take arguments")),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Json) -> Result<Json, TemplateError> {
        let base = match &operand.base {
            Base::Dot => return self.fields(dot, &operand.fields),
            Base::Variable(name) if name.is_empty() => self.root.clone(),
            Base::Variable(name) => {
                let variable = self.variables.iter().rev().find(|(known, _)| known == name);
                variable.map(|(_, value)| value.clone()).ok_or_else(|| undefined(name))?
            }
            Base::Function(name) => functions::call(name, &[], self.mode)?,
            Base::Literal(value) => value.clone(),
            Base::Group(pipeline) => self.pipeline(pipeline, dot)?,
        };
        self.fields(&base, &operand.fields)
    }

    fn fields(&self, value: &Json, fields: &[String]) -> Result<Json, TemplateError> {
        let mut value = value;
        for (depth, field) in fields.iter().enumerate() {
            value = match value.get(field) {
                Some(value) => value,
                None if self.mode == Mode::Maps && depth > 0 => return Ok("<no value>".into()),
                None => return Err(no_field(field, value)),
            };
        }
        Ok(value.clone())
    }
}

fn undefined(name: &str) -> TemplateError {
    TemplateError::new(format!("undefined variable `${name}`"))
}

fn no_field(field: &str, value: &Json) -> TemplateError {
    let known = match value {
        Json::Object(entries) => entries.iter().map(|(name, _)| format!("`.{name}`")).collect::<Vec<_>>().join(", "),
        Json::Null => "nothing, it is null".to_owned(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => "none, it is no object".to_owned(),
    };
    TemplateError::new(format!("there is no field `.{field}`; there is {known}"))
}
