defmodule Beamroute.MixProject do
  use Mix.Project

  def project do
    [
      app: :beamroute,
      version: "0.1.0",
      elixir: "~> 1.14",
      description: "Client of beamroute, a node that keeps Linux routes",
      package: [
        licenses: ["Apache-2.0", "MIT"],
        links: %{},
        files: ~w(lib src mix.exs rebar.config .formatter.exs)
      ],
      start_permanent: false,
      deps: []
    ]
  end

  def application do
    [extra_applications: [:logger], mod: {:beamroute_app, []}]
  end
end
