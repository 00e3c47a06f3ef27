/** Button that plays or pauses. */

export function PlayButton(props: {
  readonly label: string
  readonly isPlaying: boolean
  readonly isDisabled?: boolean
  readonly onPress: () => void
}) {
  const { isDisabled = false, isPlaying, label, onPress } = props
  return (
    <button type="button" class="play" aria-label={label} disabled={isDisabled} onClick={onPress}>
      <svg viewBox="0 0 24 24" aria-hidden="true">
        {isPlaying ? <path d="M7 5h4v14H7zM13 5h4v14h-4z" /> : <path d="M8 5v14l11-7z" />}
      </svg>
    </button>
  )
}
