/** What a shell must read to complete our command lines: it asks the program, which knows its own commands. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

const scripts: Readonly<Record<Shell, string>> = {
  bash: `# Completion of picogate for bash: source it, or put it into /etc/bash_completion.d/picogate
_picogate() {
  local line current=\${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
    else
      COMPREPLY+=("\${line%%$'\\t'*}")
    fi
  done < <("\${COMP_WORDS[0]}" __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _picogate picogate
`,
  zsh: `#compdef picogate
# Completion of picogate for zsh: put it into a directory of $fpath as _picogate, or source it after compinit
_picogate() {
  local line
  local -a found
  for line in "\${(@f)$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      '') ;;
      :files) _files ;;
      *) found+=("\${line%%$'\\t'*}:\${line#*$'\\t'}") ;;
    esac
  done
  (( $#found )) && _describe picogate found
}
if [ "$funcstack[1]" = _picogate ]; then _picogate "$@"; else compdef _picogate picogate; fi
`,
  fish: `# Completion of picogate for fish: put it into ~/.config/fish/completions/picogate.fish, or source it
function __picogate_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in ($words[1] __complete $words[2..] 2>/dev/null)
    if test "$line" = :files
      __fish_complete_path (commandline -ct)
    else
      echo $line
    end
  end
end
complete -c picogate -f -a '(__picogate_complete)'
`,
};

export function completionScript(shell: Shell): string {
  return scripts[shell];
}
