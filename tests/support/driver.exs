# An Elixir node driven line by line: evaluates each line of stdin with kept bindings, and answers it with
# `#ok term` or `#error {kind, reason}` on stdout.
loop = fn loop, binding ->
  case IO.gets("") do
    line when is_binary(line) ->
      binding =
        try do
          {value, binding} = Code.eval_string(line, binding)
          IO.puts("#ok " <> inspect(value, limit: :infinity, width: :infinity, printable_limit: :infinity))
          binding
        catch
          kind, reason ->
            IO.puts("#error " <> inspect({kind, reason}, limit: :infinity, width: :infinity))
            binding
        end

      loop.(loop, binding)

    _eof ->
      System.halt(0)
  end
end

loop.(loop, [])
