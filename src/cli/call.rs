//! `beamroute call`: any request, to any registered process of any node.

use std::io::Read as _;
use std::time::Duration;

use clap::Args;

use super::ask::{Asker, block_on, is_error, json_text};
use super::syntax::{Call, Pretty, parse_call};
use super::{ExitCode, Failure, Printed, ReachArgs};
use crate::config::value::Seconds;
use crate::term::{Term, as_atom, as_tuple, atom, list, tuple};

/// Of `beamroute call`.
#[derive(Debug, Clone, Args)]
pub struct CallArgs {
    /// The node to call
    #[arg(value_name = "NODE@HOST")]
    pub node: String,
    /// A term in Erlang's syntax, for gen_server:call; Module:Function(Args), for rpc:call; or - to read it from standard
    /// input
    #[arg(allow_hyphen_values = true)]
    pub request: String,
    /// The registered process that is called
    #[arg(long, value_name = "NAME", default_value = "route_manager")]
    pub to: String,
    /// How long to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    pub timeout: Seconds,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
    /// How to reach it.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// More than any request that a node would take.
const MAX_BYTES: u64 = 16 << 20;

impl CallArgs {
    /// Calls, and gives the answer as it is to be printed.
    ///
    /// # Errors
    /// A sentence for the operator. An answer `{error, _}` is none: it is printed, and the exit status says so.
    pub fn call(self) -> Result<Printed, Failure> {
        let text = if self.request == "-" { read_stdin()? } else { self.request };
        let wrong = |error| Failure { code: ExitCode::Usage, message: format!("request: {error}\n{}", quoted(&text)) };
        let (to, request) = addressed(parse_call(&text).map_err(wrong)?, self.to);
        let config = self.reach.resolve()?;
        let answer = block_on(ask(&config, self.node, &to, request, self.timeout.0))??;
        let text = if self.json { json_text(&answer) } else { format!("{}\n", Pretty(&answer)) };
        let code = if is_refusal(&answer) { ExitCode::Refused } else { ExitCode::Done };
        Ok(Printed { code, ..Printed::text(text) })
    }
}

async fn ask(
    config: &crate::config::Config,
    node: String,
    to: &str,
    request: Term,
    patience: Duration,
) -> Result<Term, super::ask::AskError> {
    let asker = Asker::connect(config, Some(node)).await?;
    let answer = asker.call(to, request, patience).await;
    asker.stop().await;
    answer
}

/// The process that gets a request, and the request as it gets it: functions are applied by `rex` (`rpc.erl`).
fn addressed(call: Call, to: String) -> (String, Term) {
    match call {
        Call::Request(term) => (to, term),
        Call::Apply { module, function, args } => {
            let apply = [atom("call"), atom(&module), atom(&function), list(args), atom("user")];
            ("rex".to_owned(), tuple(apply))
        }
    }
}

/// `{error, _}` and `{badrpc, _}`
fn is_refusal(answer: &Term) -> bool {
    is_error(answer) || as_tuple::<2>(answer).is_some_and(|[word, _]| as_atom(word) == Some("badrpc"))
}

fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_BYTES).read_to_string(&mut text);
    let wrong = |error| Failure { code: ExitCode::Failed, message: format!("cannot read standard input: {error}") };
    read.map_err(wrong)?;
    Ok(text)
}

/// What was given, so that the column can be found, and that what the shell has eaten is seen to be missing.
fn quoted(text: &str) -> String {
    let first: String = text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("  {first}\n(quote it for the shell: 'like {{this, \"text\"}}')")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_go_to_rex() {
        let call = parse_call("erlang:node()").unwrap();
        let (to, request) = addressed(call, "route_manager".into());
        assert_eq!(to, "rex");
        assert_eq!(super::super::syntax::Flat(&request).to_string(), "{call,erlang,node,[],user}");
    }

    #[test]
    fn refusals() {
        for (text, is) in [("{error,a}", true), ("{badrpc,nodedown}", true), ("error", false), ("{error,a,b}", false)] {
            assert_eq!(is_refusal(&super::super::syntax::parse(text).unwrap()), is, "{text}");
        }
    }
}
