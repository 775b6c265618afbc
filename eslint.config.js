/** What needs types or structure to be seen: promises, unsafe values, size. Layout and plain habits are biome's part. */
import {defineConfig, globalIgnores} from 'eslint/config';
import tseslint from 'typescript-eslint';

const codeOnly = {skipBlankLines: true, skipComments: true};

export default defineConfig(
  globalIgnores(['node_modules/', 'coverage/', 'bench/results/', 'test/**/fixtures/', 'test/**/golden/', '**/*.js']),
  tseslint.configs.strictTypeChecked,
  {
    files: ['**/*.ts'],
    languageOptions: {parserOptions: {projectService: true, tsconfigRootDir: import.meta.dirname}},
    linterOptions: {reportUnusedDisableDirectives: 'error'},
    rules: {
      'max-lines': ['error', 400],
      'max-lines-per-function': ['error', {max: 70, ...codeOnly}],
      'no-restricted-syntax': [
        'error',
        {selector: 'ClassDeclaration[superClass]:not([superClass.name=/Error$/])', message: 'No inheritance except from Error'},
        {selector: 'ExportAllDeclaration', message: 'No barrels: import from the file that owns the thing'},
      ],
      eqeqeq: 'error',
      '@typescript-eslint/no-unused-vars': ['error', {argsIgnorePattern: '^_', varsIgnorePattern: '^_'}],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', {considerDefaultExhaustiveForUnions: true}],
      // An empty environment variable counts as unset.
      '@typescript-eslint/prefer-nullish-coalescing': ['error', {ignorePrimitives: {string: true}}],
      '@typescript-eslint/prefer-optional-chain': 'error',
      '@typescript-eslint/return-await': ['error', 'in-try-catch'],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', {allowNumber: true, allowBoolean: true}],
      // A void expression as an arrow's body is how callbacks are written here.
      '@typescript-eslint/no-confusing-void-expression': 'off',
      // `while (true)` with a return inside is clearer than a flag.
      '@typescript-eslint/no-unnecessary-condition': ['error', {allowConstantLoopConditions: 'only-allowed-literals'}],
      // An interface may ask for a promise that one implementation has at once.
      '@typescript-eslint/require-await': 'off',
      // `[Symbol.asyncDispose]` and stack.defer take callbacks that may return nothing.
      '@typescript-eslint/no-invalid-void-type': 'off',
    },
  },
  {
    // A test file is one list of cases; its callbacks are long and its data is known.
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {'max-lines-per-function': 'off'},
  },
);
