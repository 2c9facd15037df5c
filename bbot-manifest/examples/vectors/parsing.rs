//! Vectors of the parser: run through the one for memory and, in pieces, the streaming one.

use std::io::BufReader;

use bbot_manifest::text::decode_base64;
use bbot_manifest::{Error, Event, Parser, StreamParser};
use serde_json::{Value, json};

use crate::runner::text;

pub(crate) fn parse(vector: &Value) -> Value {
    let Ok(input) = decode_base64(text(vector, "input_b64")) else {
        return json!("input is not base64");
    };
    let mut list = List::default();
    let in_memory = list.fill(Parser::new(&input));
    let outcome = list.outcome(in_memory);
    for piece in [1, 2, 3, 7] {
        let mut parser = StreamParser::new(BufReader::with_capacity(piece, &*input));
        let mut list = List::default();
        let streamed = loop {
            match parser.next_event() {
                Ok(Some(event)) => list.add(&event),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let streamed = list.outcome(streamed);
        if streamed != outcome {
            return json!({ "in memory": outcome, "piece": piece, "streamed": streamed });
        }
    }
    outcome
}

#[derive(Default)]
struct List {
    manifests: Vec<Vec<Value>>,
    starts: Vec<Value>,
    ends: Vec<Value>,
    eos: Value,
}

impl List {
    fn fill(&mut self, mut parser: Parser<'_>) -> Result<(), Error> {
        parser.try_for_each(|event| {
            self.add(&event?);
            Ok(())
        })
    }

    fn add(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { name_at: n, value_at: v } => {
                self.starts.push(json!([n.line, n.column, v.line, v.column]));
                self.manifests.push(Vec::new());
            }
            Event::Pair(pair) => {
                let pair = json!({
                    "name": pair.name, "value": pair.value,
                    "name_line": pair.name_at.line, "name_column": pair.name_at.column,
                    "value_line": pair.value_at.line, "value_column": pair.value_at.column,
                });
                self.manifests.last_mut().into_iter().for_each(|list| list.push(pair.clone()));
            }
            Event::End { at } => self.ends.push(json!([at.line, at.column])),
            Event::EndOfStream { at } => self.eos = json!([at.line, at.column]),
        }
    }

    fn outcome(self, result: Result<(), Error>) -> Value {
        match result {
            Ok(()) => json!({
                "ok": self.manifests, "starts": self.starts, "ends": self.ends, "eos": self.eos,
            }),
            Err(e) => {
                let (line, column, message) = (e.line(), e.column(), e.message());
                let text = format!("stdin:{line}:{column}: {message}");
                json!({ "error": text, "line": line, "column": column, "message": message })
            }
        }
    }
}
